"""The estimate of a server's votes while the bot runs: each look reads only what has changed."""

import sqlite3
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from storage.estimate.estimator import Estimator, Evidence, Wholes
from storage.journal.standing.figures import CERTAIN, Trust

# The dataset has the same votes. Whatever changes a vote's row there gives it a new number here,
# gold and answers to repeated questions included. CROSS keeps SQLite from beginning with all sets.
_CHANGED = """
SELECT train_row, image_id, voter_id, iif(taken_out IS NULL, counted, NULL) AS counted, gold,
    (SELECT answer FROM exposures INDEXED BY exposures_of_raters
        WHERE rater_id = votes.voter_id AND exposures.image_id = votes.image_id
            AND kind = 'repeat' AND answer IN ('good', 'bad')) AS again
FROM votes INDEXED BY votes_by_seq
    CROSS JOIN images USING (image_id) CROSS JOIN sets USING (set_id)
WHERE votes.seq > ? AND sets.guild_id = ?
"""

_VOTE = np.dtype([("row", "i8"), ("image", "i8"), ("voter", "i8"), ("good", "f8"), ("counts", "?")])


class LiveEstimate:
    """Follows the votes of one server."""

    def __init__(self, guild_id: int) -> None:
        self._guild_id = guild_id
        self._seq = 0
        self._rows: Wholes = np.empty(0, np.int64)
        self._images: dict[str, int] = {}
        self._voters: dict[int, int] = {}
        self._gold: dict[int, bool] = {}
        self._changed_mind: dict[int, int] = {}  # the voter, by the vote's row
        self._estimator = Estimator()
        self._certain: NDArray[np.bool_] = np.empty(0, np.bool_)
        self._told = np.empty(0, np.int8)  # -1: nothing yet

    def follow(self, journal: sqlite3.Connection) -> Trust:
        """Read what has changed since the last time, and say how things are now."""
        (seq,) = journal.execute("SELECT value FROM counters WHERE name = 'seq'").fetchone()
        changed = np.fromiter(self._read(journal), _VOTE)
        self._seq = seq
        known = np.isin(self._rows, changed["row"])
        if known.any():
            self._estimator.drop(known)

        new = changed[changed["counts"]]
        self._rows = np.concatenate([self._rows[~known], new["row"]])
        self._estimator.add(new["image"], new["voter"], new["good"])
        self._estimator.evidence = Evidence(gold=self._gold, changed=self._changed())

        return self._trust()

    def turned(self) -> list[tuple[str, bool]]:
        """Images whose label became certain since it was told, or is certain no more; and which of
        the two. New images are among them."""
        new = len(self._certain) - len(self._told)
        self._told = np.concatenate([self._told, np.full(new, -1, np.int8)])
        turned = np.flatnonzero(self._told != self._certain)
        if not len(turned):
            return []

        ids = list(self._images)

        return [(ids[image], bool(self._certain[image])) for image in turned]

    def told(self, turned: Iterable[tuple[str, bool]]) -> None:
        """What `turned` said is known now."""
        for image_id, certain in turned:
            self._told[self._images[image_id]] = certain

    def _read(self, journal: sqlite3.Connection) -> Iterator[tuple[int, int, int, bool, bool]]:
        for row, image_id, voter_id, counted, gold, again in journal.execute(
            _CHANGED, (self._seq, self._guild_id)
        ):
            image = self._images.setdefault(image_id, len(self._images))
            voter = self._voters.setdefault(voter_id, len(self._voters))
            if gold is None:
                self._gold.pop(image, None)
            else:
                self._gold[image] = gold == "good"

            self._changed_mind.pop(row, None)
            if counted is not None and again not in (None, counted):
                self._changed_mind[row] = voter

            yield row, image, voter, counted == "good", counted is not None

    def _changed(self) -> dict[int, int]:
        times: dict[int, int] = {}
        for voter in self._changed_mind.values():
            times[voter] = times.get(voter, 0) + 1

        return times

    def _trust(self) -> Trust:
        if not len(self._rows):
            self._certain = np.zeros(len(self._certain), np.bool_)
            return Trust(voters={}, certain=0)

        estimate = self._estimator.estimate()
        self._certain = (estimate.certainties >= CERTAIN) & (estimate.raters > 0)
        by_voter = zip(self._voters, estimate.voters, strict=False)  # the last may have no vote

        return Trust(
            voters={voter_id: voter for voter_id, voter in by_voter if voter.votes},
            certain=int(self._certain.sum()),
        )

"""Chooses the image that a rater is shown next, and records what they answer.

An image that is being shown counts as having that vote already, so that raters who work at the same
time do not all get the same one. That ends with the answer, or when the panel's time is over.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from random import Random

from storage.clock import timestamp
from storage.vote import Answer, Shown, ShownKind

OFFERED_FOR = timedelta(minutes=15)
"""How long an image is kept free for an answer: as long as an interaction's token lives."""

LOOKED_AT = 1_000
"""Images that are looked at in one transaction: 10 ms. A rater who knows most of what still needs
votes may have to wait for several."""

TIMES_RATERS = 3
"""An image whose label is unclear gets so many times the votes that others get, at most."""

REPEAT_AFTER = 20
"""How many other images a rater is shown before one is shown to them again, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aims:
    """What the operator wants of /rate.

    raters: votes that each image is to have, or more where its label is unclear. gold_share,
    repeat_share: how many of the images that are shown are gold, and how many are shown again.
    """

    raters: int = 3
    gold_share: float = 0.1
    repeat_share: float = 0.05


AIMS = Aims()

# No image is shown to somebody who voted on it, in the channel or here, or was shown it before. By
# these indexes, what one rater knows is side by side on the disk.
_KNOWN_TO_THEM = """
    (EXISTS (
        SELECT 1 FROM exposures INDEXED BY exposures_of_raters
        WHERE rater_id = :rater AND exposures.image_id = images.image_id)
    OR EXISTS (
        SELECT 1 FROM votes INDEXED BY votes_by_voter
        WHERE voter_id = :rater AND votes.image_id = images.image_id))
"""

_TOO_FEW_VOTES = "taken < :raters"

_UNCLEAR = "unclear AND taken < :most"

_CAN_BE_RATED_HERE = "can_be_rated AND (:doubtful OR NOT doubtful)"

_Known = dict[str, int | None]
"""The rater, the server, and whether doubtful images may be shown, for a query."""

_SERVERS = ("= :guild", "IS NULL")

_STAGES = list(product((_TOO_FEW_VOTES, _UNCLEAR), _SERVERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How far the search for an image came. own: the first image that would do, but that the rater
    asked for themselves."""

    stage: int = 0
    taken: int = -1
    place: int = 0
    own: str | None = None


class Showings:
    """What one open journal's raters are shown. Methods run inside a transaction of the caller's.

    guild_id: the server where a rater is. Images of others are unknown there; those whose server
    is not known are of every one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def next(
        self,
        rater_id: int,
        guild_id: int | None,
        *,
        doubtful: bool = True,
        aims: Aims,
        chance: Random,
        now: datetime,
        search: Search = Search(),
    ) -> Shown | Search | None:
        """What the rater is shown now: what they have not answered yet, or what needs them most.
        None if no image needs their vote; a Search to be continued in another transaction.

        doubtful: whether that may be an image that the classifier finds doubtful.
        """
        self._connection.execute(
            "UPDATE exposures SET offered = 0 WHERE offered AND shown_at <= ?",
            (timestamp(now - OFFERED_FOR),),
        )
        known: _Known = {"rater": rater_id, "guild": guild_id, "doubtful": doubtful}
        unanswered = self._unanswered(known, now=now)
        if unanswered is not None:
            return unanswered

        found = self._search(known, aims, search)
        if not isinstance(found, str):
            return found

        kind, image_id = ShownKind.NORMAL, found
        drawn = chance.random()
        if drawn < aims.gold_share:
            gold = self._gold(known, chance)
            if gold is not None:
                kind, image_id = ShownKind.GOLD, gold
        elif drawn < aims.gold_share + aims.repeat_share:
            repeated = self._repeatable(known, chance)
            if repeated is not None:
                kind, image_id = ShownKind.REPEAT, repeated

        return self._show(rater_id, image_id, kind, now=now)

    def find(self, exposure_id: int) -> sqlite3.Row | None:
        """What was shown, to whom, and what they answered."""
        row: sqlite3.Row | None = self._connection.execute(
            "SELECT * FROM exposures WHERE exposure_id = ?", (exposure_id,)
        ).fetchone()

        return row

    def set_of(self, exposure_id: int, rater_id: int) -> str | None:
        """The id of the set of what this person was shown; None if they were not."""
        row = self._connection.execute(
            "SELECT set_id FROM exposures JOIN images USING (image_id)"
            " WHERE exposure_id = ? AND rater_id = ?",
            (exposure_id, rater_id),
        ).fetchone()

        return None if row is None else str(row["set_id"])

    def close(self, exposure_id: int, answer: Answer, *, seconds: float | None) -> None:
        """Record the answer."""
        self._connection.execute(
            "UPDATE exposures SET answer = ?, seconds = ?, offered = 0 WHERE exposure_id = ?",
            (answer, seconds, exposure_id),
        )

    def note_certain(self, turned: Iterable[tuple[str, bool]]) -> None:
        """Record whether the labels of these images are certain."""
        self._connection.executemany(
            "UPDATE images SET certain = :certain"
            " WHERE image_id = :image AND certain IS NOT :certain",
            [{"image": image_id, "certain": certain} for image_id, certain in turned],
        )

    def _unanswered(self, known: _Known, *, now: datetime) -> Shown | None:
        """What the rater was shown last and did not answer. It counts as shown now."""
        row = self._connection.execute(
            "SELECT exposure_id FROM exposures JOIN images USING (image_id)"
            f" WHERE rater_id = :rater AND answer IS NULL AND {_CAN_BE_RATED_HERE}"
            " AND (guild = :guild OR guild IS NULL) ORDER BY exposure_id DESC LIMIT 1",
            known,
        ).fetchone()
        if row is None:
            return None

        self._connection.execute(
            "UPDATE exposures SET shown_at = ?, offered = (kind = ?) WHERE exposure_id = ?",
            (timestamp(now), ShownKind.NORMAL, row["exposure_id"]),
        )

        return self._shown(row["exposure_id"])

    def _search(self, known: _Known, aims: Aims, search: Search) -> str | Search | None:
        """An image that needs a vote of this rater, how far the search came, or None for none."""
        # No image gets more than one vote above its number while another lacks one.
        lacking = self._is_any_lacking(known, aims)
        values = known | {
            "raters": aims.raters,
            "most": aims.raters + 1 if lacking else TIMES_RATERS * aims.raters,
            "rows": LOOKED_AT,
        }
        for stage in range(search.stage, len(_STAGES)):
            need, server = _STAGES[stage]
            rows = self._connection.execute(
                f"""
                SELECT image_id, taken, place, {_KNOWN_TO_THEM} AS known
                FROM images
                WHERE guild {server} AND {_CAN_BE_RATED_HERE} AND gold IS NULL AND {need}
                    AND (taken, place) > (:taken, :place)
                ORDER BY taken, place LIMIT :rows
                """,
                values | {"taken": search.taken, "place": search.place},
            )
            looked_at, row = 0, None
            for row in rows:
                looked_at += 1
                if row["known"]:
                    continue

                if not self._asked_for(row["image_id"], by=known["rater"]):
                    return str(row["image_id"])

                if search.own is None:
                    search = replace(search, own=row["image_id"])

            if row is not None and looked_at == LOOKED_AT:
                return replace(search, stage=stage, taken=row["taken"], place=row["place"])

            search = Search(stage=stage + 1, own=search.own)

        return search.own

    def _asked_for(self, image_id: str, *, by: object) -> bool:
        return (
            self._connection.execute(
                "SELECT 1 FROM images JOIN sets USING (set_id)"
                " WHERE image_id = ? AND requester_id = ?",
                (image_id, by),
            ).fetchone()
            is not None
        )

    def _is_any_lacking(self, known: _Known, aims: Aims) -> bool:
        """Whether an image of the server has too few votes, whoever may give them."""
        values = known | {"raters": aims.raters}
        for server in _SERVERS:
            if self._connection.execute(
                f"SELECT 1 FROM images WHERE guild {server} AND can_be_rated AND gold IS NULL"
                f" AND {_TOO_FEW_VOTES} LIMIT 1",
                values,
            ).fetchone():
                return True

        return (
            self._connection.execute(
                "SELECT 1 FROM exposures JOIN images USING (image_id)"
                " WHERE exposures.offered AND can_be_rated AND good + bad < :raters"
                " AND (guild = :guild OR guild IS NULL) LIMIT 1",
                values,
            ).fetchone()
            is not None
        )

    def _gold(self, known: _Known, chance: Random) -> str | None:
        """A gold image that the rater does not know, any one."""
        start = chance.randrange(-(2**63), 2**63)
        for server, side in product(_SERVERS, (">=", "<")):
            row = self._connection.execute(
                f"""
                SELECT image_id FROM images JOIN sets USING (set_id)
                WHERE guild {server} AND gold IS NOT NULL AND {_CAN_BE_RATED_HERE}
                    AND place {side} :start AND requester_id != :rater AND NOT {_KNOWN_TO_THEM}
                ORDER BY place LIMIT 1
                """,
                known | {"start": start},
            ).fetchone()
            if row is not None:
                return str(row["image_id"])

        return None

    def _repeatable(self, known: _Known, chance: Random) -> str | None:
        """An image that the rater was shown long enough ago, any one, and voted on then."""
        first, last = self._connection.execute(
            "SELECT (SELECT min(exposure_id) FROM exposures WHERE rater_id = :rater),"
            " (SELECT exposure_id FROM exposures WHERE rater_id = :rater"
            " ORDER BY exposure_id DESC LIMIT 1 OFFSET :others)",
            known | {"others": REPEAT_AFTER - 1},
        ).fetchone()
        if last is None:
            return None

        row = self._connection.execute(
            f"""
            SELECT image_id FROM exposures AS shown JOIN images USING (image_id)
            WHERE rater_id = :rater AND kind = :normal AND answer IN (:good, :bad)
                AND exposure_id BETWEEN :start AND :last AND {_CAN_BE_RATED_HERE}
                AND (guild = :guild OR guild IS NULL) AND gold IS NULL
                AND NOT EXISTS (
                    SELECT 1 FROM exposures AS again
                    WHERE again.rater_id = :rater AND again.image_id = shown.image_id
                        AND again.kind = :repeat)
            ORDER BY exposure_id LIMIT 1
            """,
            {
                **known,
                "start": chance.randint(first, last),
                "last": last,
                "normal": ShownKind.NORMAL,
                "repeat": ShownKind.REPEAT,
                "good": Answer.GOOD,
                "bad": Answer.BAD,
            },
        ).fetchone()

        return None if row is None else str(row["image_id"])

    def _show(self, rater_id: int, image_id: str, kind: ShownKind, *, now: datetime) -> Shown:
        (exposure_id,) = self._connection.execute(
            "INSERT INTO exposures (image_id, rater_id, kind, shown_at, offered)"
            " VALUES (?, ?, ?, ?, ?) RETURNING exposure_id",
            (image_id, rater_id, kind, timestamp(now), kind is ShownKind.NORMAL),
        ).fetchone()

        return self._shown(exposure_id)

    def _shown(self, exposure_id: int) -> Shown:
        row = self._connection.execute(
            "SELECT kind, image_id, doubtful, set_id, request,"
            " coalesce(guidelines.text, '') != '' AS has_guidelines"
            " FROM exposures JOIN images USING (image_id) JOIN sets USING (set_id)"
            " LEFT JOIN guidelines ON guidelines.guild_id = sets.guild_id"
            " WHERE exposure_id = ?",
            (exposure_id,),
        ).fetchone()

        return Shown(
            exposure_id=exposure_id,
            kind=ShownKind(row["kind"]),
            image_id=row["image_id"],
            doubtful=bool(row["doubtful"]),
            set_id=row["set_id"],
            request=json.loads(row["request"]),
            has_guidelines=bool(row["has_guidelines"]),
        )

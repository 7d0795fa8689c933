"""What the journal knows besides the votes of the dataset: gold, repeats, and votes set aside."""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from storage.dataset.card import journal_of
from storage.dataset.changes import open_for_reading
from storage.dataset.layout import CARD
from storage.folder import DataFolder
from storage.vote import Rating, ShownKind, VoterIds


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """gold: whether these images are good. changed: how often each voter, by the dataset's id,
    answered a repeat differently than they voted. set_aside: votes, by moderators' reason.
    """

    gold: Mapping[str, bool] = field(default_factory=dict)
    changed: Mapping[int, int] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)


def known_beside(dataset: Path) -> Known:
    """What the journal beside the dataset knows; nothing for a copy without one."""
    journal, card = DataFolder(dataset.parent).journal, dataset / CARD
    if not journal.is_file() or not card.is_file():
        return Known()

    with suppress(sqlite3.Error), open_for_reading(journal) as connection:
        (journal_id,) = connection.execute("SELECT journal_id FROM watermark").fetchone()
        if journal_id == journal_of(card.read_text(encoding="utf-8")):
            return _known(connection)

    return Known()


def _known(connection: sqlite3.Connection) -> Known:
    gold = connection.execute(
        "SELECT image_id, gold = ? FROM images WHERE gold IS NOT NULL", (Rating.GOOD,)
    )
    changed = connection.execute(
        """
        SELECT CASE (SELECT voter_ids FROM privacy)
                WHEN ? THEN coalesce(pseudonym, voter_id) ELSE voter_id END AS voter, count(*)
        FROM exposures JOIN votes ON votes.image_id = exposures.image_id AND voter_id = rater_id
            LEFT JOIN people ON user_id = voter_id
        WHERE kind = ? AND answer IN (?, ?) AND rating IS NOT NULL AND answer != rating
        GROUP BY voter
        """,
        (VoterIds.PSEUDONYM, ShownKind.REPEAT, Rating.GOOD, Rating.BAD),
    )
    set_aside = connection.execute(
        "SELECT set_aside, count(*) FROM votes WHERE set_aside IS NOT NULL AND rating IS NOT NULL"
        " GROUP BY set_aside ORDER BY set_aside"
    )

    return Known(
        gold={image: bool(good) for image, good in gold},
        changed=dict(map(tuple, changed)),
        set_aside=dict(map(tuple, set_aside)),
    )

"""What is known besides the votes that count: gold and repeats, and the votes set aside."""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from storage.dataset.card import journal_of
from storage.dataset.changes import open_for_reading
from storage.dataset.layout import CARD
from storage.estimate.estimator import Evidence, Wholes
from storage.folder import DataFolder
from storage.reading.collection import Collection


def evidence_of(collection: Collection, *, images: Wholes, voters: Wholes) -> Evidence:
    """Gold images, and repeats that a voter answered differently than they voted, by the places of
    image and voter among these numbers."""
    image_places = {int(number): place for place, number in enumerate(images)}
    voter_places = {int(number): place for place, number in enumerate(voters)}
    gold = collection.database.execute(
        "SELECT DISTINCT image, gold = 'good' FROM votes WHERE gold IS NOT NULL"
    )
    changed = collection.database.execute(
        "SELECT voter, count(*) FROM votes"
        " WHERE repeat IN ('good', 'bad') AND (repeat = 'good') != good GROUP BY voter"
    )

    return Evidence(
        gold={image_places[image]: bool(good) for image, good in gold},
        changed={voter_places[voter]: times for voter, times in changed},
    )


def set_aside_beside(dataset: Path) -> Mapping[str, int]:
    """How many votes moderators set aside, by their reason, from the journal beside the dataset:
    the dataset does not have them. Empty for a copy without a journal."""
    journal, card = DataFolder(dataset.parent).journal, dataset / CARD
    if not journal.is_file() or not card.is_file():
        return {}

    with suppress(sqlite3.Error), open_for_reading(journal) as connection:
        (journal_id,) = connection.execute("SELECT journal_id FROM watermark").fetchone()
        if journal_id == journal_of(card.read_text(encoding="utf-8")):
            found = connection.execute(
                "SELECT set_aside, count(*) FROM votes"
                " WHERE set_aside IS NOT NULL AND rating IS NOT NULL"
                " GROUP BY set_aside ORDER BY set_aside"
            )

            return {str(reason): int(votes) for reason, votes in found}

    return {}

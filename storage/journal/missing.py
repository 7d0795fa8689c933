"""Images with votes whose bytes are neither in the dataset nor in the spool, as the journal stores
them. Their votes are not committed until the bytes are back.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.clock import timestamp
from storage.journal.counters import next_number

_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """How many images are missing, the ids of the first few, and the votes that wait for them."""

    images: int
    image_ids: Sequence[str]
    votes: int

    def __str__(self) -> str:
        named = ", ".join(self.image_ids)
        rest = self.images - len(self.image_ids)

        return (
            f"images whose bytes are gone: {self.images} ({named}{f' and {rest} more' * bool(rest)}"
            f"); votes on them that stay in the journal: {self.votes}"
        )


class MissingImages:
    """The missing images of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def summary(self) -> Missing:
        """What is missing now. An image without a vote is not missed."""
        # CROSS: SQLite would read all votes first, 1 s at a million, while people press.
        votes, images = self._connection.execute(
            "SELECT count(*), count(DISTINCT image_id)"
            " FROM images CROSS JOIN votes USING (image_id)"
            " WHERE missing_since IS NOT NULL AND counted IS NOT NULL"
        ).fetchone()
        named = self._connection.execute(
            "SELECT DISTINCT image_id FROM images CROSS JOIN votes USING (image_id)"
            " WHERE missing_since IS NOT NULL AND counted IS NOT NULL ORDER BY image_id LIMIT ?",
            (_NAMED,),
        )

        return Missing(
            images=images, image_ids=tuple(image_id for (image_id,) in named), votes=votes
        )

    def places(self) -> dict[str, tuple[int, str]]:
        """The number of the folder of the dataset where each missing image belongs, and its
        SHA-256, by the image's id."""
        rows = self._connection.execute(
            "SELECT image_id, image_shard, sha256 FROM images WHERE missing_since IS NOT NULL"
        )

        return {image_id: (shard, sha256) for image_id, shard, sha256 in rows}

    def mark(self, image_ids: Sequence[str], *, now: datetime) -> None:
        """Record that the bytes of these images are gone."""
        self._connection.execute(
            "UPDATE images SET missing_since = ? WHERE NOT erased AND image_id IN"
            " (SELECT value FROM json_each(?))",
            (timestamp(now), json.dumps(image_ids)),
        )

    def mark_found(self, image_ids: Sequence[str]) -> None:
        """Record that the bytes of these images are back: their votes are changes to commit."""
        found = json.dumps(image_ids)
        self._connection.execute(
            "UPDATE images SET missing_since = NULL WHERE image_id IN"
            " (SELECT value FROM json_each(?))",
            (found,),
        )
        self._connection.execute(
            "UPDATE arena_votes SET seq = ? WHERE pair_id IN (SELECT pair_id"
            " FROM arena_pairs JOIN images ON set_id IN (left_set, right_set)"
            " WHERE image_id IN (SELECT value FROM json_each(?)))",
            (next_number(self._connection, "seq"), found),
        )
        votes = self._connection.execute(
            "SELECT image_id, voter_id FROM votes WHERE image_id IN"
            " (SELECT value FROM json_each(?)) ORDER BY seq",
            (found,),
        ).fetchall()
        for image_id, voter_id in votes:
            self._connection.execute(
                "UPDATE votes SET seq = ? WHERE image_id = ? AND voter_id = ?",
                (next_number(self._connection, "seq"), image_id, voter_id),
            )

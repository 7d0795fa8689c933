"""The images that people like best.

Images are ranked by the lower end of Wilson's interval (95 %) for the share of good votes: one 👍
of one vote ranks below nine of ten. The author's own vote does not count.
What a classifier finds doubtful is in no ranking: those are for all to see.
"""

import json
import math
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from storage.clock import timestamp
from storage.journal.standing.figures import RankedImage

_Z = 1.96

# `wilson` is a function of Python's: SQLite has a square root only if it was built with one.
_RANKED = """
SELECT * FROM (
    SELECT images.image_id, set_id, slot, requester_id, channel_id, message_id, request,
        good - coalesce(own.counted = 'good', 0) AS good,
        bad - coalesce(own.counted = 'bad', 0) AS bad
    FROM sets JOIN images USING (set_id)
    LEFT JOIN votes AS own ON own.image_id = images.image_id AND voter_id = requester_id
    WHERE {of} AND guild_id = :guild AND withheld IS NULL AND taken_out IS NULL
        AND removed_at IS NULL AND NOT erased AND NOT doubtful
)
WHERE good > bad
ORDER BY wilson(good, good + bad) DESC, good DESC, image_id LIMIT :limit
"""


def best_since(
    connection: sqlite3.Connection, guild_id: int, since: datetime, *, limit: int
) -> list[RankedImage]:
    """The best images of the server that were posted since then, the best first."""
    return _ranked(
        connection,
        "posted_at >= :since",
        {"guild": guild_id, "since": timestamp(since), "limit": limit},
    )


def best_of(
    connection: sqlite3.Connection, guild_id: int, author_id: int, *, limit: int
) -> list[RankedImage]:
    """The best images in the server that one member asked for."""
    return _ranked(
        connection,
        "requester_id = :author",
        {"guild": guild_id, "author": author_id, "limit": limit},
    )


def wilson(good: int, votes: int) -> float:
    """The lower end of the interval in which the share of good votes lies, probably."""
    share = good / votes
    centre = share + _Z**2 / (2 * votes)
    margin = _Z * math.sqrt(share * (1 - share) / votes + _Z**2 / (4 * votes**2))

    return (centre - margin) / (1 + _Z**2 / votes)


def _ranked(
    connection: sqlite3.Connection, of: str, values: dict[str, object]
) -> list[RankedImage]:
    connection.create_function("wilson", 2, wilson, deterministic=True)
    rows: Sequence[sqlite3.Row] = connection.execute(_RANKED.format(of=of), values).fetchall()

    return [
        RankedImage(
            image_id=row["image_id"],
            set_id=row["set_id"],
            slot=row["slot"],
            author_id=row["requester_id"],
            channel_id=row["channel_id"],
            message_id=row["message_id"],
            request=json.loads(row["request"]),
            good=row["good"],
            bad=row["bad"],
        )
        for row in rows
    ]

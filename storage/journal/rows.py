"""Makes values from the journal's rows. Pure."""

import json
import sqlite3
from collections.abc import Sequence

from storage.acts import ServerRules
from storage.vote import (
    REASONS,
    Ballot,
    Mark,
    Rating,
    SetState,
    StoredImage,
    StoredSet,
    reasons_offered,
)


def stored_image(row: sqlite3.Row) -> StoredImage:
    return StoredImage(
        image_id=row["image_id"],
        slot=row["slot"],
        seed=row["seed"],
        sha256=row["sha256"],
        withheld=row["withheld"],
        doubtful=bool(row["doubtful"]),
        taken_out=row["taken_out"] is not None,
    )


def stored_set(row: sqlite3.Row, images: Sequence[sqlite3.Row]) -> StoredSet:
    return StoredSet(
        set_id=row["set_id"],
        requester_id=row["requester_id"],
        guild_id=row["guild_id"],
        channel_id=row["channel_id"],
        interaction_id=row["interaction_id"],
        request=json.loads(row["request"]),
        state=SetState(row["state"]),
        message_id=row["message_id"],
        provenance=None if row["provenance"] is None else json.loads(row["provenance"]),
        tries=row["tries"],
        images=tuple(map(stored_image, images)),
    )


def ballot(set_id: str, voter_id: int, rows: Sequence[sqlite3.Row]) -> Ballot | None:
    """None without rows."""
    if not rows:
        return None

    marks = [
        Mark(
            image_id=row["image_id"],
            slot=row["slot"],
            rating=None if row["rating"] is None else Rating(row["rating"]),
            reasons=tuple(json.loads(row["reasons"])),
        )
        for row in rows
    ]

    rules = rows[0]["rules"]

    return Ballot(
        set_id=set_id,
        voter_id=voter_id,
        request=json.loads(rows[0]["request"]),
        marks=tuple(marks),
        offered=REASONS if rules is None else reasons_offered(ServerRules.from_json(rules)),
        has_guidelines=bool(rows[0]["has_guidelines"]),
        as_of=rows[0]["as_of"],
    )

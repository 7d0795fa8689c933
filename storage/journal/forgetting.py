"""Takes a person, or old requests, out of the journal.

A row that the dataset was made from cannot just be deleted: then nothing would say that its file
has to be written anew. So it becomes a vote that nobody gave, an image without any content, or a
request of nobody for nothing. All of them share one number of a change, so that one commit takes
everything out of the dataset, whatever is killed when. `JournalFile` then writes the journal anew,
without the bytes of what was deleted.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime

from storage.clock import timestamp
from storage.journal.people import People
from storage.people import Forgotten
from storage.vote import SetState, ShownIn


def forget(
    connection: sqlite3.Connection, user_id: int, *, requests: bool, seq: int, now: datetime
) -> Forgotten:
    """Take out the person's votes and, with `requests`, their requests with all images and all
    votes on these. Without, the requests are nobody's. Runs inside a transaction of the caller's.

    seq: a new number of a change.
    """
    values: dict[str, object] = {
        "user": user_id,
        "hash": People(connection).hashed_id(user_id),
        "seq": seq,
        "now": timestamp(now),
    }
    sets = _ids(connection, "SELECT set_id FROM sets WHERE requester_id = :user", values)
    paired = _ids(
        connection,
        "SELECT left_set FROM arena_pairs WHERE asker_id = :user"
        " UNION ALL SELECT right_set FROM arena_pairs WHERE asker_id = :user",
        values,
    )
    images = _erase_requests(connection, [*sets, *paired] if requests else [], values)
    votes = _erase_votes(connection, values)
    connection.execute(
        f"UPDATE sets SET requester_id = 0, state = iif(state = '{SetState.WAITING}',"
        f" '{SetState.CANCELLED}', state) WHERE requester_id = :user",
        values,
    )
    connection.execute("UPDATE arena_pairs SET asker_id = 0 WHERE asker_id = :user", values)
    connection.execute("DELETE FROM alarms WHERE author_id = :user", values)
    for table in ("people", "consents", "guidelines_read"):
        connection.execute(f"DELETE FROM {table} WHERE user_id = :user", values)

    for table, column in (
        ("exposures", "rater_id"),
        ("ballots", "voter_id"),
        ("arena_showings", "rater_id"),
    ):
        connection.execute(f"DELETE FROM {table} WHERE {column} = :user", values)

    _hash_in_acts(connection, values)
    connection.execute("UPDATE privacy SET unclean = 1")

    return Forgotten(votes=votes, requests=len(sets) if requests else 0, images=tuple(images))


def erase_old(
    connection: sqlite3.Connection,
    *,
    unvoted_before: datetime,
    closed_before: datetime,
    seq: Callable[[], int],
    now: datetime,
    limit: int = 4_096,
) -> list[str]:
    """Take out at most so many requests that are too old: posted ones without a vote, those of
    closed arenas too, and those that were cancelled or failed; the ids of their images. Runs inside
    a transaction of the caller's."""
    values: dict[str, object] = {
        "unvoted": timestamp(unvoted_before),
        "closed": timestamp(closed_before),
        "limit": limit,
        "now": timestamp(now),
        "user": None,
    }
    sets = _ids(
        connection,
        f"""
        SELECT set_id FROM sets
        WHERE created_at < iif(state IN ('{SetState.POSTED}', '{SetState.ARENA}'),
                :unvoted, :closed)
            AND (state IN ('{SetState.POSTED}', '{SetState.FAILED}', '{SetState.CANCELLED}')
                OR EXISTS (
                    SELECT 1 FROM arena_pairs JOIN arenas USING (arena_id)
                    WHERE (left_set = set_id OR right_set = set_id) AND closed_at IS NOT NULL))
            AND state != '{SetState.FORGOTTEN}'
            AND NOT EXISTS (
                SELECT 1 FROM images JOIN votes USING (image_id)
                WHERE images.set_id = sets.set_id AND rating IS NOT NULL)
            AND NOT EXISTS (
                SELECT 1 FROM arena_pairs JOIN arena_votes USING (pair_id)
                WHERE (left_set = set_id OR right_set = set_id) AND choice IS NOT NULL)
        ORDER BY created_at LIMIT :limit
        """,
        values,
    )
    if not sets:
        return []

    values["seq"] = seq()
    images = _erase_requests(connection, sets, values)
    _erase_votes(connection, values)
    connection.execute("UPDATE privacy SET unclean = 1")

    return images


def purge(connection: sqlite3.Connection) -> None:
    """Delete what is left of rows that were emptied: a new dataset has nothing to take out. Runs
    inside a transaction of the caller's."""
    connection.execute("DELETE FROM votes WHERE voter_id < 0")
    connection.execute("DELETE FROM arena_votes WHERE voter_id < 0")
    erased_pairs = (
        "SELECT pair_id FROM arena_pairs JOIN sets ON set_id IN (left_set, right_set)"
        f" WHERE state = '{SetState.FORGOTTEN}'"
    )
    for table in ("arena_showings", "arena_pairs"):
        connection.execute(f"DELETE FROM {table} WHERE pair_id IN ({erased_pairs})")

    connection.execute(
        "DELETE FROM alarms WHERE image_id IN (SELECT image_id FROM images WHERE erased)"
    )
    connection.execute("DELETE FROM images WHERE erased")
    forgotten = f"set_id IN (SELECT set_id FROM sets WHERE state = '{SetState.FORGOTTEN}')"
    connection.execute(f"UPDATE acts SET set_id = NULL WHERE {forgotten}")
    connection.execute(f"DELETE FROM reports WHERE {forgotten}")
    connection.execute(f"DELETE FROM sets WHERE state = '{SetState.FORGOTTEN}'")


def _hash_in_acts(connection: sqlite3.Connection, values: dict[str, object]) -> None:
    """A ban holds on, and what moderators did stays on record: both with the hash."""
    for table, column in (
        ("bans", "member_id"),
        ("acts", "member_id"),
        ("acts", "moderator_id"),
        ("arenas", "moderator_id"),
    ):
        connection.execute(
            f"UPDATE OR REPLACE {table} SET {column} = :hash WHERE {column} = :user", values
        )

    for table in ("bans", "acts"):
        connection.execute(
            f"UPDATE {table} SET reason = replace(reason, CAST(:user AS TEXT), '…')"
            " WHERE instr(reason, CAST(:user AS TEXT))",
            values,
        )


def _ids(connection: sqlite3.Connection, sql: str, values: dict[str, object]) -> list[str]:
    return [found for (found,) in connection.execute(sql, values)]


def _erase_votes(connection: sqlite3.Connection, values: dict[str, object]) -> int:
    """Make the person's votes, and all on images that were emptied now, nobody's and of nothing;
    how many of them there were in the dataset."""
    in_arenas = _erase_arena_votes(connection, values)
    theirs = (
        "voter_id = :user OR image_id IN (SELECT image_id FROM images WHERE erased AND seq = :seq)"
    )
    (rated,) = connection.execute(
        f"SELECT count(*) FROM votes WHERE ({theirs}) AND rating IS NOT NULL", values
    ).fetchone()
    connection.execute(
        f"""
        UPDATE votes SET voter_id = -1 - train_row, rating = NULL, reasons = '[]',
            previous = NULL, previous_reasons = '[]', voted_at = :now, seq = :seq,
            own_request = NULL, shown_in = '{ShownIn.POST}', seconds = NULL, consent = NULL,
            set_aside = NULL
        WHERE {theirs}
        """,
        values,
    )
    # As after Undo: an image without votes waits for some, or for its end.
    connection.execute(
        """
        UPDATE images SET
            unvoted_since = iif(remote_only, unvoted_since, :now),
            removed_at = iif(remote_only, :now, removed_at)
        WHERE NOT erased AND image_id IN (SELECT image_id FROM votes WHERE seq = :seq)
            AND NOT EXISTS (
                SELECT 1 FROM votes
                WHERE votes.image_id = images.image_id AND rating IS NOT NULL)
        """,
        values,
    )

    return int(rated) + in_arenas


def _erase_arena_votes(connection: sqlite3.Connection, values: dict[str, object]) -> int:
    """The same with votes in arenas; how many there were."""
    theirs = (
        "voter_id = :user OR pair_id IN (SELECT pair_id"
        " FROM arena_pairs JOIN images ON set_id IN (left_set, right_set)"
        " WHERE erased AND images.seq = :seq)"
    )
    (chosen,) = connection.execute(
        f"SELECT count(*) FROM arena_votes WHERE ({theirs}) AND choice IS NOT NULL", values
    ).fetchone()
    connection.execute(
        f"""
        UPDATE arena_votes SET voter_id = -1 - arena_row, choice = NULL, voted_at = :now,
            seq = :seq, shown_in = '{ShownIn.POST}', seconds = NULL, consent = NULL,
            set_aside = NULL
        WHERE {theirs}
        """,
        values,
    )
    # The images of an open arena wait for votes.
    connection.execute(
        """
        UPDATE images SET unvoted_since = :now
        WHERE NOT erased AND set_id IN (
            SELECT set_id
            FROM arena_pairs JOIN arenas USING (arena_id)
                JOIN sets ON set_id IN (left_set, right_set)
            WHERE closed_at IS NOT NULL
                AND EXISTS (SELECT 1 FROM arena_votes
                    WHERE arena_votes.pair_id = arena_pairs.pair_id AND seq = :seq)
                AND NOT EXISTS (SELECT 1 FROM arena_votes
                    WHERE arena_votes.pair_id = arena_pairs.pair_id AND choice IS NOT NULL))
        """,
        values,
    )

    return int(chosen)


def _erase_requests(
    connection: sqlite3.Connection, sets: Sequence[str], values: dict[str, object]
) -> list[str]:
    """Empty the requests and their images; the images' ids."""
    values = {**values, "sets": json.dumps(sets)}
    these = "set_id IN (SELECT value FROM json_each(:sets))"
    images = _ids(connection, f"SELECT image_id FROM images WHERE {these}", values)
    connection.execute(
        f"""
        UPDATE images SET erased = 1, seq = :seq, seed = 0, sha256 = '', made_at = '',
            unvoted_since = NULL, removed_at = :now, missing_since = NULL, unsafe_score = NULL,
            withheld = NULL, doubtful = 0, taken_out = NULL, guild = NULL, gold = NULL
        WHERE {these}
        """,
        values,
    )
    connection.execute(
        f"DELETE FROM exposures WHERE image_id IN (SELECT image_id FROM images WHERE {these})",
        values,
    )
    connection.execute(f"DELETE FROM ballots WHERE {these}", values)
    connection.execute(
        "UPDATE arena_pairs SET left_out = 1 WHERE left_set IN (SELECT value FROM json_each(:sets))"
        " OR right_set IN (SELECT value FROM json_each(:sets))",
        values,
    )
    connection.execute(
        f"""
        UPDATE sets SET state = '{SetState.FORGOTTEN}', requester_id = 0, guild_id = NULL,
            channel_id = 0, message_id = NULL, interaction_id = 0, request = '{{}}',
            provenance = NULL, created_at = '', posted_at = NULL, server = NULL
        WHERE {these}
        """,
        values,
    )
    connection.execute(f"DELETE FROM copies WHERE {these}", values)

    return images

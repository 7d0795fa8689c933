"""Numbers that the journal gives once each."""

import sqlite3


def next_number(connection: sqlite3.Connection, counter: str) -> int:
    """The next number of this counter, from 1."""
    (value,) = connection.execute(
        "UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value", (counter,)
    ).fetchone()

    return int(value)

"""Finds new accounts that vote on one image together, as the journal stores it."""

import sqlite3
from datetime import datetime, timedelta

from storage.acts import Alarm
from storage.clock import timestamp

NEW_ACCOUNTS = 10
"""How many of them on one image are an alarm."""

WITHIN = timedelta(minutes=10)
NEW_FOR = timedelta(days=30)

# The votes that are looked at: enough for the busiest ten minutes, and no table of a million.
_NEWEST_VOTES = 10_000

# Discord's ids: milliseconds since this moment, and 22 bits more.
_DISCORD_EPOCH_MS = 1_420_070_400_000


class Brigades:
    """The alarms of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def raise_alarms(self, *, now: datetime) -> list[Alarm]:
        """Look for new ones; all that the moderators' channel does not have. One an image."""
        self._connection.execute(
            """
            INSERT INTO alarms (image_id, oldest_account)
            SELECT image_id, :oldest FROM votes
            WHERE seq > (SELECT value FROM counters WHERE name = 'seq') - :newest
                AND counted IS NOT NULL AND voted_at > :since AND voter_id >= :oldest
                AND image_id NOT IN (SELECT image_id FROM alarms)
            GROUP BY image_id HAVING count(*) >= :accounts
            """,
            {
                "oldest": _first_id(now - NEW_FOR),
                "newest": _NEWEST_VOTES,
                "since": timestamp(now - WITHIN),
                "accounts": NEW_ACCOUNTS,
            },
        )
        untold = self._connection.execute(
            "SELECT image_id, set_id, guild_id, oldest_account FROM alarms"
            " JOIN images USING (image_id) JOIN sets USING (set_id) WHERE told = 0"
        ).fetchall()

        return [
            Alarm(
                image_id=row["image_id"],
                set_id=row["set_id"],
                guild_id=row["guild_id"],
                members=self._members(row["image_id"], row["oldest_account"]),
            )
            for row in untold
        ]

    def mark_told(self, alarm: Alarm) -> None:
        """Record that the moderators' channel has it."""
        self._connection.execute("UPDATE alarms SET told = 1 WHERE image_id = ?", (alarm.image_id,))

    def _members(self, image_id: str, oldest_account: int) -> tuple[int, ...]:
        rows = self._connection.execute(
            "SELECT voter_id FROM votes WHERE image_id = ? AND voter_id >= ?"
            " AND counted IS NOT NULL ORDER BY seq",
            (image_id, oldest_account),
        )

        return tuple(voter_id for (voter_id,) in rows)


def _first_id(moment: datetime) -> int:
    """The lowest id that Discord could give at this moment."""
    return (int(moment.timestamp() * 1000) - _DISCORD_EPOCH_MS) << 22

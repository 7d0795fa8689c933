"""Which servers get the best images each week, and whether they have them."""

import sqlite3
from datetime import date

from storage.acts import ServerRules


class WeeklyPosts:
    """The weekly posts of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def channels(self) -> dict[int, int]:
        """The channel that the moderators of a server have chosen, by server."""
        rows = self._connection.execute("SELECT guild_id, rules FROM rules")
        chosen = {row["guild_id"]: ServerRules.from_json(row["rules"]) for row in rows}

        return {
            guild_id: rules.weekly_channel
            for guild_id, rules in chosen.items()
            if rules.weekly_channel is not None
        }

    def begin(self, guild_id: int, day: date) -> int | None:
        """Note a try to post that of this day; which try it is. None: it is done."""
        self._connection.execute(
            "INSERT INTO weekly_posts VALUES (:guild, :day, 1, 0) ON CONFLICT (guild_id) DO UPDATE"
            " SET tries = iif(day = :day, tries + 1, 1), done = done AND day = :day, day = :day",
            {"guild": guild_id, "day": day.isoformat()},
        )
        row = self._connection.execute(
            "SELECT tries, done FROM weekly_posts WHERE guild_id = ?", (guild_id,)
        ).fetchone()

        return None if row["done"] else int(row["tries"])

    def finish(self, guild_id: int, day: date) -> None:
        """Note that the post of this day is done, or left out."""
        self._connection.execute(
            "INSERT OR REPLACE INTO weekly_posts VALUES (?, ?, 1, 1)", (guild_id, day.isoformat())
        )

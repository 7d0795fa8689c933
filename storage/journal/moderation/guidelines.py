"""The guidelines of servers, and who was shown them, as the journal stores it."""

import sqlite3

from storage.acts import Guidelines


class GuidelineBook:
    """The guidelines in one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def of(self, guild_id: int) -> Guidelines | None:
        """What moderators have set for the server; None if nothing is set."""
        row = self._connection.execute(
            "SELECT text, good_image, bad_image, edition FROM guidelines"
            " WHERE guild_id = ? AND text != ''",
            (guild_id,),
        ).fetchone()

        return None if row is None else Guidelines(**dict(row))

    def set(
        self, guild_id: int, text: str, *, good: str | None, bad: str | None, again: bool
    ) -> None:
        """Replace them; an empty text: there are none. again: a new edition, which is shown to
        those who were shown an earlier one, too."""
        self._connection.execute(
            """
            INSERT INTO guidelines VALUES (:guild, :text, :good, :bad, 1)
            ON CONFLICT DO UPDATE SET text = :text, good_image = :good, bad_image = :bad,
                edition = edition + :again
            """,
            {"guild": guild_id, "text": text, "good": good, "bad": bad, "again": again},
        )

    def edition_read(self, user_id: int, guild_id: int | None) -> int:
        """The last edition that the person was shown; 0 for none."""
        row = self._connection.execute(
            "SELECT edition FROM guidelines_read WHERE user_id = ? AND guild_id = ?",
            (user_id, guild_id),
        ).fetchone()

        return 0 if row is None else int(row["edition"])

    def mark_read(self, user_id: int, guild_id: int, edition: int) -> None:
        """Record that the person was shown this edition."""
        self._connection.execute(
            "INSERT OR REPLACE INTO guidelines_read VALUES (?, ?, ?)", (user_id, guild_id, edition)
        )

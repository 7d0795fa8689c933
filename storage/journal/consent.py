"""The texts that servers have people agree to, and who agreed, as the journal stores it."""

import sqlite3
from datetime import datetime

from storage.clock import timestamp
from storage.people import ConsentText, ConsentVersion


class Consents:
    """The consents of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def set_text(self, guild_id: int, text: str, *, now: datetime) -> int:
        """Set the server's text, which everybody is then asked to agree to; its version. An empty
        one: nobody is asked any more."""
        (version,) = self._connection.execute(
            "INSERT INTO consent_texts SELECT ?, coalesce(max(version), 0) + 1, ?, ?"
            " FROM consent_texts WHERE guild_id = ? RETURNING version",
            (guild_id, text, timestamp(now), guild_id),
        ).fetchone()

        return int(version)

    def text(self, guild_id: int | None) -> ConsentText | None:
        """The server's text; None if nobody is asked."""
        row = self._connection.execute(
            "SELECT version, text FROM consent_texts WHERE guild_id = ?"
            " ORDER BY version DESC LIMIT 1",
            (guild_id,),
        ).fetchone()
        if row is None or not row["text"]:
            return None

        return ConsentText(version=row["version"], text=row["text"])

    def agree(self, user_id: int, guild_id: int, version: int, *, now: datetime) -> None:
        """Record that the person agrees to this version."""
        self._connection.execute(
            "INSERT OR REPLACE INTO consents VALUES (?, ?, ?, ?)",
            (user_id, guild_id, version, timestamp(now)),
        )

    def version_of(self, user_id: int, guild_id: int | None) -> int | None:
        """The version that the person has agreed to last; None for none."""
        row = self._connection.execute(
            "SELECT version FROM consents WHERE user_id = ? AND guild_id = ?", (user_id, guild_id)
        ).fetchone()

        return None if row is None else int(row["version"])


def consent_versions(connection: sqlite3.Connection) -> list[ConsentVersion]:
    """All texts that people were asked to agree to, for the dataset's card."""
    rows = connection.execute(
        "SELECT pseudonym, version, set_at FROM consent_texts JOIN servers USING (guild_id)"
        " WHERE text != '' ORDER BY pseudonym, version"
    )

    return [
        ConsentVersion(server=server, version=version, since=set_at)
        for server, version, set_at in rows
    ]

"""Finds accounts that vote together, on one image or on those of one author, as the journal stores
it: new accounts, or such that agree.

What an alarm about an image covers is not counted again for its author.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.acts import Alarm, AlarmKind, AlarmLimits
from storage.clock import timestamp

WITHIN = timedelta(minutes=10)

ALIKE = 3
"""How many images of one author an account must rate alike to be counted among those that agree."""

# An author may be the target again on another day.
_ONCE_IN = timedelta(days=1)

# The votes that are looked at: enough for the busiest ten minutes, and no table of a million.
_NEWEST_VOTES = 10_000

# Discord's ids: milliseconds since this moment, and 22 bits more.
_DISCORD_EPOCH_MS = 1_420_070_400_000

# Not under /rate: nobody chooses there what they vote on, and everybody is shown the same gold.
_RECENT = """
    WITH recent AS (
        SELECT votes.image_id, voter_id, counted, guild_id, requester_id,
            EXISTS (SELECT 1 FROM alarms WHERE alarms.image_id = votes.image_id) AS told_of
        FROM votes JOIN images USING (image_id) JOIN sets USING (set_id)
        WHERE votes.seq > (SELECT value FROM counters WHERE name = 'seq') - :newest
            AND counted IS NOT NULL AND voted_at > :since AND shown_in = 'post'
    )
"""

_RAISE = (
    "INSERT INTO alarms (kind, guild_id, image_id, author_id, rating, oldest, since, raised_at)"
)

_NEW_ON_IMAGE = f"""
    {_RAISE} {_RECENT}
    SELECT 'new', guild_id, image_id, NULL, NULL, :oldest, '', :now FROM recent
    WHERE voter_id >= :oldest AND NOT told_of
    GROUP BY image_id HAVING count(*) >= :new
"""

# Nine of ten: on an image that is only popular, more disagree.
_AGREEING_ON_IMAGE = f"""
    {_RAISE} {_RECENT}
    SELECT 'agreeing', guild_id, image_id, NULL, iif(good > bad, 'good', 'bad'), 0, :since, :now
    FROM (
        SELECT image_id, guild_id, sum(counted = 'good') AS good, sum(counted = 'bad') AS bad
        FROM recent WHERE NOT told_of GROUP BY image_id
    )
    WHERE max(good, bad) >= :agreeing AND max(good, bad) >= 9 * min(good, bad)
"""

_NOT_TOLD_OF_AUTHOR = """
    NOT EXISTS (
        SELECT 1 FROM alarms
        WHERE alarms.author_id = requester_id AND alarms.guild_id IS recent.guild_id
            AND kind = :kind AND raised_at > :once_since)
"""

_NEW_ON_AUTHOR = f"""
    {_RAISE} {_RECENT}
    SELECT 'new', guild_id, NULL, requester_id, NULL, :oldest, :since, :now FROM recent
    WHERE voter_id >= :oldest AND NOT told_of AND requester_id NOT IN (0, voter_id)
        AND {_NOT_TOLD_OF_AUTHOR}
    GROUP BY guild_id, requester_id HAVING count(DISTINCT voter_id) >= :new
"""

_AGREEING_ON_AUTHOR = f"""
    {_RAISE} {_RECENT}
    SELECT 'agreeing', guild_id, NULL, requester_id, rating, 0, :since, :now
    FROM (
        SELECT guild_id, requester_id, min(counted) AS rating FROM recent
        WHERE NOT told_of AND requester_id NOT IN (0, voter_id) AND {_NOT_TOLD_OF_AUTHOR}
        GROUP BY guild_id, requester_id, voter_id
        HAVING count(*) >= :alike AND min(counted) = max(counted)
    )
    GROUP BY guild_id, requester_id, rating HAVING count(*) >= :agreeing
"""


@dataclass(frozen=True, slots=True)
class _Vote:
    row_id: int
    voter_id: int
    rating: str


class Brigades:
    """The alarms of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def raise_alarms(self, limits: AlarmLimits, *, now: datetime) -> list[Alarm]:
        """Look for new ones; all that the moderators' channel does not have."""
        values = {
            "oldest": _first_id(now - timedelta(days=limits.new_days)),
            "newest": _NEWEST_VOTES,
            "since": timestamp(now - WITHIN),
            "once_since": timestamp(now - _ONCE_IN),
            "now": timestamp(now),
            "new": limits.new_accounts,
            "agreeing": limits.agreeing,
            "alike": ALIKE,
        }
        for kind, search in (
            (AlarmKind.NEW, _NEW_ON_IMAGE),
            (AlarmKind.AGREEING, _AGREEING_ON_IMAGE),
            (AlarmKind.NEW, _NEW_ON_AUTHOR),
            (AlarmKind.AGREEING, _AGREEING_ON_AUTHOR),
        ):
            self._connection.execute(search, {**values, "kind": kind})

        untold = self._connection.execute(
            "SELECT * FROM alarms WHERE told = 0 ORDER BY alarm_id"
        ).fetchall()

        return [self._alarm(row) for row in untold]

    def find(self, alarm_id: int, *, guild_id: int | None) -> Alarm | None:
        """The alarm; None if the server has none with this number. guild_id: None for every
        server's."""
        row = self._connection.execute(
            "SELECT * FROM alarms WHERE alarm_id = :alarm"
            " AND coalesce(guild_id, :guild) IS coalesce(:guild, guild_id)",
            {"alarm": alarm_id, "guild": guild_id},
        ).fetchone()

        return None if row is None else self._alarm(row)

    def mark_told(self, alarm: Alarm) -> None:
        """Record that the moderators' channel has it."""
        self._connection.execute("UPDATE alarms SET told = 1 WHERE alarm_id = ?", (alarm.alarm_id,))

    def _alarm(self, row: sqlite3.Row) -> Alarm:
        votes = self._votes(row)

        return Alarm(
            alarm_id=row["alarm_id"],
            kind=AlarmKind(row["kind"]),
            guild_id=row["guild_id"],
            image_id=row["image_id"],
            set_id=self._set_of(row["image_id"]),
            author_id=row["author_id"],
            rating=row["rating"],
            members=tuple(dict.fromkeys(vote.voter_id for vote in votes)),
            votes=tuple(vote.row_id for vote in votes),
        )

    def _votes(self, row: sqlite3.Row) -> Sequence[_Vote]:
        """The votes that the alarm is about and that count now, the oldest first. New accounts that
        come later belong to it; among votes that agree, those of the minutes around the alarm."""
        of_image = "votes WHERE image_id = :image_id"
        of_author = (
            "sets JOIN images USING (set_id) JOIN votes USING (image_id)"
            " WHERE requester_id = :author_id AND guild_id IS :guild_id AND voter_id != :author_id"
        )
        found = self._connection.execute(
            f"""
            SELECT votes.rowid, voter_id, counted
            FROM {of_author if row["image_id"] is None else of_image}
                AND counted IS NOT NULL AND voter_id >= :oldest
                AND voted_at > :since AND (:rating IS NULL OR voted_at <= :until)
            ORDER BY votes.seq
            """,
            {**dict(row), "until": _later(row["raised_at"])},
        )
        votes = [_Vote(*values) for values in found]
        if row["kind"] == AlarmKind.NEW:
            return votes

        alike = [vote for vote in votes if vote.rating == row["rating"]]
        if row["image_id"] is not None:
            return alike

        number = Counter(vote.voter_id for vote in alike)
        differ = {vote.voter_id for vote in votes if vote.rating != row["rating"]}

        return [
            vote for vote in alike if number[vote.voter_id] >= ALIKE and vote.voter_id not in differ
        ]

    def _set_of(self, image_id: str | None) -> str | None:
        row = self._connection.execute(
            "SELECT set_id FROM images WHERE image_id = ?", (image_id,)
        ).fetchone()

        return None if row is None else str(row["set_id"])


def _later(raised_at: str) -> str:
    """Until when votes that agree are counted."""
    return timestamp(datetime.fromisoformat(raised_at) + WITHIN)


def _first_id(moment: datetime) -> int:
    """The lowest id that Discord could give at this moment."""
    return (int(moment.timestamp() * 1000) - _DISCORD_EPOCH_MS) << 22

"""How much the votes of members count, and how a single member does.

A vote on a gold image is compared with the right answer. Of all other images, nobody knows it, so a
vote is compared with the majority of the other voters on the image. A member's votes count as far
as they agree better than chance, for images that others find good and for images that others find
bad separately: who presses without looking, or always the same button, gets nothing. (That is
Youden's J, with each share shrunk toward the server's mean, so that a few lucky votes do not lead.)
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from storage.clock import timestamp
from storage.journal.standing.figures import Agreement, MemberFigures, Place
from storage.journal.standing.images import best_of

_LIKED = 4

_SHRUNK_BY = 5
"""As if each member had so many more votes of either kind that are as right as the server's."""

# One row for each vote that is compared: whose, and whether they and the others say good. Of gold,
# "the others" are the moderators.
COMPARED = """
SELECT voter_id, voted_at, mine,
    iif(gold IS NULL, others_good > others_bad, gold = 'good') AS others
FROM (
    SELECT voter_id, voted_at, gold, counted = 'good' AS mine,
        good - (counted = 'good') AS others_good, bad - (counted = 'bad') AS others_bad
    FROM sets JOIN images USING (set_id) JOIN votes USING (image_id)
    WHERE sets.guild_id = :guild AND counted IS NOT NULL AND taken_out IS NULL
        AND NOT coalesce(own_request, 0) {only}
)
WHERE gold IS NOT NULL OR others_good != others_bad
"""


def figures_of(
    connection: sqlite3.Connection, guild_id: int, member_id: int, *, today: date
) -> MemberFigures:
    """One member in one server."""
    values = {"guild": guild_id, "member": member_id}
    days = connection.execute(
        """
        SELECT substr(voted_at, 1, 10) AS day, count(*) AS votes
        FROM votes JOIN images USING (image_id) JOIN sets USING (set_id)
        WHERE voter_id = :member AND guild_id = :guild AND counted IS NOT NULL
            AND taken_out IS NULL
        GROUP BY day
        """,
        values,
    ).fetchall()
    theirs = COMPARED.format(only="AND voter_id = :member")
    (compared, agreed) = connection.execute(
        f"SELECT count(*), coalesce(sum(mine = others), 0) FROM ({theirs})", values
    ).fetchone()

    return MemberFigures(
        votes=sum(row["votes"] for row in days),
        streak=streak([date.fromisoformat(row["day"]) for row in days], today=today),
        agreement=Agreement(compared=compared, agreed=agreed),
        liked=best_of(connection, guild_id, member_id, limit=_LIKED),
    )


def streak(days: Sequence[date], *, today: date) -> int:
    """How many days in a row end today, or yesterday: today is not over."""
    voted = set(days)
    day = today if today in voted else today - timedelta(days=1)
    length = 0
    while day in voted:
        length += 1
        day -= timedelta(days=1)

    return length


@dataclass(frozen=True, slots=True)
class _Record:
    """A member's compared votes, on images that the others find good and on those they find bad."""

    member_id: int
    good: int
    good_agreed: int
    bad: int
    bad_agreed: int


def leaderboard(connection: sqlite3.Connection, guild_id: int, since: datetime) -> list[Place]:
    """All members whose votes since then count, the first place first."""
    rows = connection.execute(
        f"""
        SELECT voter_id, sum(others), sum(others AND mine), sum(NOT others),
            sum(NOT others AND NOT mine)
        FROM ({COMPARED.format(only="")}) WHERE voted_at >= :since GROUP BY voter_id
        """,
        {"guild": guild_id, "since": timestamp(since)},
    )
    records = [_Record(*row) for row in rows]
    places = [_place(record, records) for record in records]

    return sorted(
        (place for place in places if round(place.counting) >= 1),
        key=lambda place: (-place.counting, place.member_id),
    )


def _place(record: _Record, everybody: Sequence[_Record]) -> Place:
    mean_good = _share(sum(r.good_agreed for r in everybody), sum(r.good for r in everybody))
    mean_bad = _share(sum(r.bad_agreed for r in everybody), sum(r.bad for r in everybody))
    right_good = (record.good_agreed + _SHRUNK_BY * mean_good) / (record.good + _SHRUNK_BY)
    right_bad = (record.bad_agreed + _SHRUNK_BY * mean_bad) / (record.bad + _SHRUNK_BY)
    compared = record.good + record.bad

    return Place(
        member_id=record.member_id,
        counting=compared * max(0.0, right_good + right_bad - 1),
        agreement=Agreement(compared=compared, agreed=record.good_agreed + record.bad_agreed),
    )


def _share(part: int, whole: int) -> float:
    """Without anything to go by, as chance has it."""
    return part / whole if whole else 0.5

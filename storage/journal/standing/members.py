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

# The votes that count: whose and when, whether they and the others say good, and whether these can
# be compared. Of gold, "the others" are the moderators.
VOTES = """
SELECT voter_id, voted_at, counted = 'good' AS mine,
    iif(gold IS NULL, good - (counted = 'good') > bad - (counted = 'bad'), gold = 'good') AS others,
    NOT coalesce(own_request, 0)
        AND (gold IS NOT NULL OR good - (counted = 'good') != bad - (counted = 'bad')) AS compared
FROM sets JOIN images USING (set_id) JOIN votes USING (image_id)
WHERE sets.guild_id = :guild AND counted IS NOT NULL AND taken_out IS NULL {only}
"""

BY_DAY = """
SELECT substr(voted_at, 1, 10) AS day, sum(mine) AS good, sum(NOT mine) AS bad,
    sum(compared) AS compared, sum(compared AND mine = others) AS agreed
FROM ({votes}) GROUP BY day
"""


def figures_of(
    connection: sqlite3.Connection, guild_id: int, member_id: int, *, today: date
) -> MemberFigures:
    """One member in one server."""
    theirs = VOTES.format(only="AND voter_id = :member")
    days = connection.execute(
        BY_DAY.format(votes=theirs), {"guild": guild_id, "member": member_id}
    ).fetchall()

    return MemberFigures(
        votes=sum(row["good"] + row["bad"] for row in days),
        streak=streak([date.fromisoformat(row["day"]) for row in days], today=today),
        agreement=agreement(days),
        liked=best_of(connection, guild_id, member_id, limit=_LIKED),
    )


def agreement(days: Sequence[sqlite3.Row]) -> Agreement:
    """Of all these days together."""
    return Agreement(
        compared=sum(row["compared"] for row in days), agreed=sum(row["agreed"] for row in days)
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
        FROM ({VOTES.format(only="AND voted_at >= :since")}) WHERE compared GROUP BY voter_id
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

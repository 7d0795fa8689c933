"""How much the votes of members count, and how a single member does.

A vote on a gold image is compared with the right answer. Of all other images, nobody knows it, so a
vote is compared with the majority of the other voters on the image: that is what members are told.
Places go by the estimate, which weighs those others too. A member's votes count as far as they say
more than chance, for good images and for bad ones separately: who presses without looking, or
always the same button, gets nothing.
"""

import sqlite3
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from storage.clock import timestamp
from storage.journal.standing.figures import Agreement, MemberFigures, Place, Trust
from storage.journal.standing.images import best_of

_LIKED = 4

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
    connection: sqlite3.Connection, guild_id: int, member_id: int, *, trust: Trust, today: date
) -> MemberFigures:
    """One member in one server. trust: in the votes there."""
    theirs = VOTES.format(only="AND voter_id = :member")
    days = connection.execute(
        BY_DAY.format(votes=theirs), {"guild": guild_id, "member": member_id}
    ).fetchall()

    return MemberFigures(
        votes=sum(row["good"] + row["bad"] for row in days),
        streak=streak([date.fromisoformat(row["day"]) for row in days], today=today),
        agreement=agreement(days),
        reliability=trust.voters.get(member_id),
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


def leaderboard(
    connection: sqlite3.Connection, guild_id: int, since: datetime, *, trust: Trust
) -> list[Place]:
    """All members whose votes since then count, the first place first. trust: in the votes there,
    whenever they were given."""
    rows = connection.execute(
        f"""
        SELECT voter_id, count(*), sum(mine = others)
        FROM ({VOTES.format(only="AND voted_at >= :since")}) WHERE compared GROUP BY voter_id
        """,
        {"guild": guild_id, "since": timestamp(since)},
    )
    places = [
        Place(
            member_id=member_id,
            counting=compared * max(0.0, trust.voters[member_id].use),
            agreement=Agreement(compared=compared, agreed=agreed),
        )
        for member_id, compared, agreed in rows
        if member_id in trust.voters  # else their first vote is newer than the estimate
    ]

    return sorted(
        (place for place in places if round(place.counting) >= 1),
        key=lambda place: (-place.counting, place.member_id),
    )

"""How a server's voting goes."""

import sqlite3
from datetime import date, timedelta

from storage.journal.standing.figures import Day, ServerFigures, Trust
from storage.journal.standing.members import BY_DAY, VOTES, agreement


def figures(
    connection: sqlite3.Connection,
    guild_id: int,
    *,
    trust: Trust,
    raters: int,
    days: int,
    today: date,
) -> ServerFigures:
    """All of one server. trust: in its votes. raters: how many votes an image should have."""
    values = {"guild": guild_id, "raters": raters}
    votes = VOTES.format(only="")
    by_day = connection.execute(BY_DAY.format(votes=votes), values).fetchall()
    (voters,) = connection.execute(
        f"SELECT count(DISTINCT voter_id) FROM ({votes})", values
    ).fetchone()
    (waiting,) = connection.execute(
        """
        SELECT count(*) FROM sets JOIN images USING (set_id)
        WHERE guild_id = :guild AND posted_at IS NOT NULL AND withheld IS NULL
            AND taken_out IS NULL AND removed_at IS NULL AND NOT erased AND NOT paired
            AND good + bad < :raters
        """,
        values,
    ).fetchone()
    found = {date.fromisoformat(row["day"]): (row["good"], row["bad"]) for row in by_day}
    last = [today - timedelta(days=ago) for ago in reversed(range(days))]

    return ServerFigures(
        votes=sum(row["good"] + row["bad"] for row in by_day),
        voters=voters,
        agreement=agreement(by_day),
        waiting=waiting,
        raters=raters,
        certain=trust.certain,
        of_no_use=sum(voter.of_no_use for voter in trust.voters.values()),
        days=[Day(day, *found.get(day, (0, 0))) for day in last],
    )

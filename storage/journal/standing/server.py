"""How a server's voting goes."""

import sqlite3
from datetime import date, timedelta

from storage.journal.standing.figures import Agreement, Day, ServerFigures
from storage.journal.standing.members import COMPARED


def figures(
    connection: sqlite3.Connection, guild_id: int, *, raters: int, days: int, today: date
) -> ServerFigures:
    """All of one server. raters: how many votes an image should have."""
    values = {"guild": guild_id, "raters": raters}
    (votes, voters) = connection.execute(
        """
        SELECT count(*), count(DISTINCT voter_id)
        FROM sets JOIN images USING (set_id) JOIN votes USING (image_id)
        WHERE guild_id = :guild AND counted IS NOT NULL AND taken_out IS NULL
        """,
        values,
    ).fetchone()
    (compared, agreed) = connection.execute(
        f"SELECT count(*), coalesce(sum(mine = others), 0) FROM ({COMPARED.format(only='')})",
        values,
    ).fetchone()
    (waiting,) = connection.execute(
        """
        SELECT count(*) FROM sets JOIN images USING (set_id)
        WHERE guild_id = :guild AND posted_at IS NOT NULL AND withheld IS NULL
            AND taken_out IS NULL AND removed_at IS NULL AND NOT erased
            AND good + bad < :raters
        """,
        values,
    ).fetchone()

    return ServerFigures(
        votes=votes,
        voters=voters,
        agreement=Agreement(compared=compared, agreed=agreed),
        waiting=waiting,
        raters=raters,
        days=_days(connection, guild_id, first=today - timedelta(days=days - 1), days=days),
    )


def _days(connection: sqlite3.Connection, guild_id: int, *, first: date, days: int) -> list[Day]:
    rows = connection.execute(
        """
        SELECT substr(voted_at, 1, 10) AS day, sum(counted = 'good') AS good,
            sum(counted = 'bad') AS bad
        FROM sets JOIN images USING (set_id) JOIN votes USING (image_id)
        WHERE guild_id = :guild AND counted IS NOT NULL AND taken_out IS NULL AND voted_at >= :first
        GROUP BY day
        """,
        {"guild": guild_id, "first": first.isoformat()},
    )
    found = {row["day"]: (row["good"], row["bad"]) for row in rows}
    listed = [first + timedelta(days=number) for number in range(days)]

    return [
        Day(day=day, good=good, bad=bad)
        for day in listed
        for good, bad in [found.get(day.isoformat(), (0, 0))]
    ]

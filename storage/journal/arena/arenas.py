"""Opens arenas, makes and posts their pairs, and closes them, in the journal.

Which model made which image of a pair is nowhere but here until the arena is closed: its images
have no row in `generations`, and its requests are found by nobody.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from storage.acts import Act, ActKind, Order, SetAside
from storage.clock import moment, timestamp
from storage.journal.arena.values import (
    Arena,
    ArenaState,
    Example,
    Judgement,
    NewArena,
    NewPair,
    Pair,
    PairPost,
    Side,
)
from storage.journal.queries import Journal
from storage.vote import Choice, SetState

MOST_TRIES = 3
"""A pair is left out when one of its images could not be made so often."""

POST_WAITS = timedelta(days=1)
"""How long a post that gets too few votes keeps the next one back."""

_ENOUGH_GOLD = 8
"""Who answered so many gold images, and fewer than half of them right, has no say in the result. Of
eight, somebody who is right about 72 % of images has fewer than half with a chance of 4 %; who
presses at random, of 36 %; who presses the opposite, of 84 %."""

_MADE_TOGETHER = 8
"""Pairs of which first all images of one model are made, then all of the next: where only one model
fits, each change loads one. Then it is the turn of the next arena."""


class Arenas:
    """The arenas of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._connection = journal.connection

    # Open

    def open(self, new: NewArena, pairs: Sequence[NewPair], order: Order, *, now: datetime) -> bool:
        """Open it, with these pairs; false if the server has an open one."""
        if self.of_server(new.guild_id) is not None:
            return False

        self._connection.execute(
            "INSERT INTO arenas (arena_id, guild_id, channel_id, moderator_id, models, plan, asks,"
            " pairs, votes, opened_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.arena_id,
                new.guild_id,
                new.channel_id,
                new.moderator_id,
                json.dumps(list(new.models)),
                json.dumps(dict(new.plan)),
                new.asks,
                new.pairs,
                new.votes,
                timestamp(now),
            ),
        )
        for number, pair in enumerate(pairs):
            self._add_pair(new, number, pair, now=now)

        self._journal.moderation.note_arena(ActKind.ARENA, order, now=now)

        return True

    def ask(
        self,
        guild_id: int | None,
        channel_id: int,
        plan: Callable[[Arena, int], NewPair],
        *,
        now: datetime,
    ) -> bool:
        """Add a pair if the channel has an arena that takes one more; whether it does.

        plan: makes the pair with this number.
        """
        arena = self.of_server(guild_id)
        if arena is None or not arena.asks or arena.channel_id != channel_id:
            return False

        (number,) = self._connection.execute(
            "SELECT count(*) FROM arena_pairs WHERE arena_id = ?", (arena.arena_id,)
        ).fetchone()
        if number >= arena.pairs:
            return False

        self._add_pair(arena, number, plan(arena, number), now=now)

        return True

    def _add_pair(self, arena: NewArena, number: int, pair: NewPair, *, now: datetime) -> None:
        for set_id, request in ((pair.left_set, pair.left), (pair.right_set, pair.right)):
            self._connection.execute(
                "INSERT INTO sets (set_id, state, requester_id, guild_id, channel_id,"
                " interaction_id, request, created_at, server) VALUES (?, ?, 0, ?, ?, 0, ?, ?, ?)",
                (
                    set_id,
                    SetState.ARENA,
                    arena.guild_id,
                    arena.channel_id,
                    json.dumps(dict(request)),
                    timestamp(now),
                    self._journal.people.server(arena.guild_id),
                ),
            )

        self._connection.execute(
            "INSERT INTO arena_pairs (pair_id, arena_id, number, left_set, right_set, left_model,"
            " right_model, asker_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                pair.pair_id,
                arena.arena_id,
                number,
                pair.left_set,
                pair.right_set,
                pair.left_model,
                pair.right_model,
                pair.asker_id,
            ),
        )

    # Find

    def of_server(self, guild_id: int | None) -> Arena | None:
        """The open arena of the server; None if it has none."""
        row = self._connection.execute(
            "SELECT * FROM arenas WHERE guild_id IS ? AND closed_at IS NULL", (guild_id,)
        ).fetchone()

        return None if row is None else _arena(row)

    def unfinished(self) -> list[Arena]:
        """All that are open, or whose result is not posted, in the order in which they began."""
        rows = self._connection.execute(
            "SELECT * FROM arenas WHERE closed_at IS NULL"
            " OR (result_id IS NULL AND guild_id IS NOT NULL) ORDER BY opened_at, arena_id"
        )

        return [_arena(row) for row in rows]

    def state(self, arena: Arena) -> ArenaState:
        """How far it is."""
        values = {"arena": arena.arena_id, "votes": arena.votes}
        made, enough, votes = self._connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE votes >= :votes), coalesce(sum(votes), 0)"
            " FROM shown_pairs WHERE arena_id = :arena",
            values,
        ).fetchone()
        (left_out,) = self._connection.execute(
            """
            SELECT count(*) FROM arena_pairs
            WHERE arena_id = :arena AND NOT EXISTS (
                    SELECT 1 FROM shown_pairs WHERE shown_pairs.pair_id = arena_pairs.pair_id)
                AND (left_out OR (
                    SELECT count(*) FROM images WHERE set_id IN (left_set, right_set)) = 2)
            """,
            values,
        ).fetchone()
        (voters,) = self._connection.execute(
            "SELECT count(DISTINCT voter_id) FROM arena_votes JOIN shown_pairs USING (pair_id)"
            " WHERE arena_id = :arena AND counted IS NOT NULL",
            values,
        ).fetchone()

        (unreliable,) = self._connection.execute(
            "SELECT count(DISTINCT voter_id) FROM arena_votes JOIN arena_pairs USING (pair_id)"
            " WHERE arena_id = :arena AND set_aside = :gold",
            {**values, "gold": SetAside.GOLD},
        ).fetchone()

        return ArenaState(
            arena=arena,
            made=made,
            left_out=left_out,
            enough=enough,
            votes=votes,
            voters=voters,
            unreliable=unreliable,
        )

    # Make and post pairs

    def next_side(self, models: Sequence[str]) -> Side | None:
        """The image by one of these models that is to be made next, of any arena that is open."""
        row = self._connection.execute(
            f"""
            SELECT set_id, sets.guild_id, request, tries
            FROM arenas JOIN arena_pairs USING (arena_id)
                JOIN sets ON set_id IN (left_set, right_set)
            WHERE arenas.closed_at IS NULL AND NOT left_out
                AND NOT EXISTS (SELECT 1 FROM images WHERE images.set_id = sets.set_id)
                AND iif(set_id = left_set, left_model, right_model)
                    IN (SELECT value FROM json_each(?))
            ORDER BY number / {_MADE_TOGETHER}, opened_at, arena_id,
                iif(set_id = left_set, left_model, right_model), number
            LIMIT 1
            """,
            (json.dumps(list(models)),),
        ).fetchone()

        return None if row is None else Side(**{**dict(row), "request": json.loads(row["request"])})

    def leave_out(self, subject: str) -> None:
        """Leave out the pair with this id, or with this set as a side."""
        self._connection.execute(
            "UPDATE arena_pairs SET left_out = 1 WHERE ? IN (pair_id, left_set, right_set)",
            (subject,),
        )

    def to_post(self, arena: Arena, *, now: datetime) -> Pair | None:
        """The pair that is to be posted now: any one, when those that were posted have their
        votes."""
        values = {
            "arena": arena.arena_id,
            "votes": arena.votes,
            "since": timestamp(now - POST_WAITS),
        }
        waits = self._connection.execute(
            "SELECT 1 FROM shown_pairs WHERE arena_id = :arena AND votes < :votes"
            " AND message_id IS NOT NULL AND posted_at > :since LIMIT 1",
            values,
        ).fetchone()
        if waits is not None:
            return None

        # Their ids are random, so this order says nothing.
        row = self._connection.execute(
            "SELECT * FROM shown_pairs"
            " WHERE arena_id = :arena AND votes < :votes AND message_id IS NULL"
            " ORDER BY votes, pair_id LIMIT 1",
            values,
        ).fetchone()

        return None if row is None else pair(row)

    def note_post(self, pair_id: str, *, message_id: int, now: datetime) -> None:
        """Record which message shows the pair."""
        self._connection.execute(
            "UPDATE arena_pairs SET message_id = ?, posted_at = ? WHERE pair_id = ?",
            (message_id, timestamp(now), pair_id),
        )
        self._connection.execute(
            "UPDATE sets SET message_id = :message WHERE set_id IN (SELECT left_set"
            " FROM arena_pairs WHERE pair_id = :pair UNION ALL SELECT right_set"
            " FROM arena_pairs WHERE pair_id = :pair)",
            {"message": message_id, "pair": pair_id},
        )

    def post_of(self, set_id: str) -> PairPost | None:
        """The post of the pair that this set is a side of; None if it has none."""
        row = self._connection.execute(
            "SELECT channel_id, arenas.guild_id, message_id, pair_id"
            " FROM arena_pairs JOIN arenas USING (arena_id)"
            " WHERE ? IN (left_set, right_set) AND message_id IS NOT NULL",
            (set_id,),
        ).fetchone()
        if row is None:
            return None

        shown = self._connection.execute(
            "SELECT * FROM shown_pairs WHERE pair_id = ?", (row["pair_id"],)
        ).fetchone()

        return PairPost(
            channel_id=row["channel_id"],
            guild_id=row["guild_id"],
            message_id=row["message_id"],
            pair=None if shown is None else pair(shown),
        )

    # Close

    def close(self, arena: Arena, order: Order, *, stopped: bool, now: datetime) -> Act | None:
        """Close it: the dataset learns which model made which image, in one commit. None if it is
        closed.

        stopped: by a moderator, before its rule was met.
        """
        closed = self._connection.execute(
            "UPDATE arenas SET closed_at = ?, stopped = ? WHERE arena_id = ? AND closed_at IS NULL",
            (timestamp(now), stopped, arena.arena_id),
        )
        if not closed.rowcount:
            return None

        seq = self._journal.next_seq()
        values = {"arena": arena.arena_id, "seq": seq, "now": timestamp(now)}
        set_aside = self._set_unreliable_aside(arena)
        self._connection.execute(
            "UPDATE arena_votes SET seq = :seq WHERE choice IS NOT NULL"
            " AND pair_id IN (SELECT pair_id FROM arena_pairs WHERE arena_id = :arena)",
            values,
        )
        of_the_arena = (
            "set_id IN (SELECT left_set FROM arena_pairs WHERE arena_id = :arena"
            " UNION ALL SELECT right_set FROM arena_pairs WHERE arena_id = :arena)"
        )
        self._connection.execute(
            f"UPDATE sets SET posted_at = :now WHERE state = '{SetState.ARENA}' AND {of_the_arena}",
            values,
        )
        # Without votes, nobody asks for them any more: they go like all images without votes.
        self._connection.execute(
            f"UPDATE images SET unvoted_since = :now WHERE {of_the_arena} AND NOT EXISTS ("
            "SELECT 1 FROM arena_pairs JOIN arena_votes USING (pair_id)"
            " WHERE images.set_id IN (left_set, right_set) AND choice IS NOT NULL)",
            values,
        )
        judged = self._connection.execute(
            f"SELECT image_id FROM images WHERE image_shard IS NOT NULL AND NOT erased"
            f" AND {of_the_arena} ORDER BY image_shard, image_id",
            values,
        ).fetchall()
        for (image_id,) in judged:
            self._journal.give_shown_row(image_id, seq=seq)

        return self._journal.moderation.note_arena(
            ActKind.RESULT, order, votes=set_aside, seq=seq, now=now
        )

    def _set_unreliable_aside(self, arena: Arena) -> int:
        """Set the votes of those aside who answer most gold images wrong; how many."""
        moved = self._connection.execute(
            """
            UPDATE arena_votes SET set_aside = :gold
            WHERE counted IS NOT NULL
                AND pair_id IN (SELECT pair_id FROM arena_pairs WHERE arena_id = :arena)
                AND voter_id IN (
                    SELECT voter_id FROM votes JOIN images USING (image_id)
                    WHERE gold IS NOT NULL AND guild IS :guild AND counted IS NOT NULL
                    GROUP BY voter_id
                    HAVING count(*) >= :enough AND 2 * sum(counted = gold) < count(*))
            """,
            {
                "gold": SetAside.GOLD,
                "arena": arena.arena_id,
                "guild": arena.guild_id,
                "enough": _ENOUGH_GOLD,
            },
        )

        return moved.rowcount

    def judgements(self, arena_id: str) -> list[Judgement]:
        """All votes that count."""
        rows = self._connection.execute(
            "SELECT pair_id, voter_id, left_model, right_model, counted"
            " FROM shown_pairs JOIN arena_votes USING (pair_id)"
            " WHERE arena_id = ? AND counted IS NOT NULL ORDER BY pair_id, voter_id",
            (arena_id,),
        )

        return [
            Judgement(pair=p, voter=v, left_model=left, right_model=right, choice=Choice(choice))
            for p, v, left, right, choice in rows
        ]

    def examples(self, arena_id: str, *, limit: int) -> list[Example]:
        """Some pairs with votes: any ones, whoever won."""
        rows = self._connection.execute(
            "SELECT * FROM shown_pairs WHERE arena_id = ? AND votes > 0 ORDER BY pair_id LIMIT ?",
            (arena_id, limit),
        ).fetchall()

        return [
            Example(pair=pair(row), left_model=row["left_model"], right_model=row["right_model"])
            for row in rows
        ]

    def note_result(self, arena_id: str, *, message_id: int) -> None:
        """Record which message has the result; 0 for none."""
        self._connection.execute(
            "UPDATE arenas SET result_id = ? WHERE arena_id = ?", (message_id, arena_id)
        )


def pair(row: sqlite3.Row) -> Pair:
    """A row of `shown_pairs`."""
    return Pair(
        pair_id=row["pair_id"],
        prompt=json.loads(row["request"])["prompt"],
        left_image=row["left_image"],
        right_image=row["right_image"],
    )


def _arena(row: sqlite3.Row) -> Arena:
    opened_at = moment(row["opened_at"])
    assert opened_at is not None

    return Arena(
        arena_id=row["arena_id"],
        guild_id=row["guild_id"],
        channel_id=row["channel_id"],
        moderator_id=row["moderator_id"],
        models=json.loads(row["models"]),
        plan=json.loads(row["plan"]),
        asks=bool(row["asks"]),
        pairs=row["pairs"],
        votes=row["votes"],
        opened_at=opened_at,
        closed_at=moment(row["closed_at"]),
        stopped=bool(row["stopped"]),
    )

"""The bot's door to arenas: what moderators open, what the bot makes and posts, members' votes."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from storage.acts import Act, Order
from storage.dataset.committer import Committer
from storage.journal.arena import votes
from storage.journal.arena.arenas import Arenas
from storage.journal.arena.values import (
    Arena,
    ArenaState,
    Example,
    NewArena,
    NewPair,
    Outcome,
    Pair,
    PairPost,
    PairVote,
    Side,
)
from storage.journal.queries import Journal
from storage.journal.thread import JournalThread
from storage.processes.thread import OneThread
from storage.vote import Choice, ShownIn, log_press

T = TypeVar("T")


class ArenaStore:
    """The arenas' part of the open store. What a returned call recorded is durable. Methods may
    raise a StorageError.

    changed: set when there may be something to make, to post or to close.
    """

    def __init__(
        self,
        journal: JournalThread,
        committer: Committer,
        *,
        figures_thread: OneThread,
        clock: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._committer = committer
        self._figures_thread = figures_thread
        self._clock = clock
        self.changed = asyncio.Event()

    async def open(self, new: NewArena, pairs: Sequence[NewPair], order: Order) -> bool:
        """Open an arena with these pairs; false if the server has an open one."""
        opened = await self._run(lambda arenas: arenas.open(new, pairs, order, now=self._clock()))
        self.changed.set()

        return opened

    async def ask(
        self, guild_id: int | None, channel_id: int, plan: Callable[[Arena, int], NewPair]
    ) -> None:
        """Add a pair, if the channel has an arena that takes one more. plan: makes the pair with
        this number."""
        if await self._run(
            lambda arenas: arenas.ask(guild_id, channel_id, plan, now=self._clock())
        ):
            self.changed.set()

    async def state(self, guild_id: int | None) -> ArenaState | None:
        """How far the open arena of the server is; None if it has none."""

        def state(arenas: Arenas) -> ArenaState | None:
            arena = arenas.of_server(guild_id)

            return None if arena is None else arenas.state(arena)

        return await self._run(state)

    async def unfinished(self) -> list[ArenaState]:
        """All that are open, or whose result is not posted."""
        return await self._run(
            lambda arenas: [arenas.state(arena) for arena in arenas.unfinished()]
        )

    async def next_side(self, models: Sequence[str]) -> Side | None:
        """The image by one of these models that is to be made next; None for none."""
        return await self._run(lambda arenas: arenas.next_side(models))

    async def leave_out(self, subject: str) -> None:
        """Leave out the pair with this id, or with this set as a side."""
        await self._run(lambda arenas: arenas.leave_out(subject))
        self.changed.set()

    async def to_post(self, arena: Arena) -> Pair | None:
        """The pair that is to be posted now; None for none."""
        return await self._run(lambda arenas: arenas.to_post(arena, now=self._clock()))

    async def note_post(self, pair_id: str, *, message_id: int) -> None:
        """Record which message shows the pair."""
        await self._run(
            lambda arenas: arenas.note_post(pair_id, message_id=message_id, now=self._clock())
        )

    async def post_of(self, set_id: str) -> PairPost | None:
        """The post of the pair that this set is a side of; None if it has none."""
        return await self._run(lambda arenas: arenas.post_of(set_id))

    async def next_pair(self, rater_id: int, guild_id: int | None) -> Pair | None:
        """The pair that a rater is shown now under /rate; None for none."""
        return await self._journal.run(
            lambda journal: votes.next_pair(journal, rater_id, guild_id, now=self._clock())
        )

    async def show_again(self, pair_id: str, rater_id: int, guild_id: int | None) -> Pair | None:
        """The pair, for a rater who was shown it and wants to change their vote; None if that is
        not possible any more."""
        return await self._journal.run(
            lambda journal: votes.show_again(
                journal, pair_id, rater_id, guild_id, now=self._clock()
            )
        )

    async def vote(
        self,
        pair_id: str,
        voter_id: int,
        choice: Choice | None,
        *,
        guild_id: int | None,
        shown_in: ShownIn,
    ) -> PairVote:
        """Make `choice` the member's vote on the pair; None skips it."""
        vote = await self._journal.run(
            lambda journal: votes.vote(
                journal,
                pair_id,
                voter_id,
                choice,
                guild_id=guild_id,
                shown_in=shown_in,
                now=self._clock(),
            )
        )
        log_press(vote.seq, f"pair {pair_id}: {vote.kind}")
        if vote.kind.changed_something:
            self._committer.wake()
            self.changed.set()

        return vote

    async def close(self, arena: Arena, order: Order, *, stopped: bool) -> Act | None:
        """Close it, and let the dataset name the models; None if it is closed."""
        act = await self._run(
            lambda arenas: arenas.close(arena, order, stopped=stopped, now=self._clock())
        )
        if act is not None:
            self._committer.wake()
            self.changed.set()

        return act

    async def outcome(self, arena: Arena) -> Outcome:
        """What its votes say."""
        judgements = await self._run(lambda arenas: arenas.judgements(arena.arena_id))

        def judge() -> Outcome:
            from storage.estimate.arena import judge  # imports numpy

            return judge(judgements, arena.models)

        return await self._figures_thread.run(judge)

    async def examples(self, arena: Arena, *, limit: int) -> list[Example]:
        """Some of its pairs that have votes, whoever won."""
        return await self._run(lambda arenas: arenas.examples(arena.arena_id, limit=limit))

    async def note_result(self, arena: Arena, *, message_id: int) -> None:
        """Record which message has the result; 0 if it cannot be posted."""
        await self._run(lambda arenas: arenas.note_result(arena.arena_id, message_id=message_id))

    async def _run(self, operation: Callable[[Arenas], T]) -> T:
        def run(journal: Journal) -> T:
            return operation(Arenas(journal))

        return await self._journal.run(run)

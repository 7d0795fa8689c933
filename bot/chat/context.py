"""What a handler of an interaction can reach: the store, the door, the requests."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import discord

from bot.chat.admission.gate import Gate, NoticeDue
from bot.chat.jobs import Jobs
from bot.prompts.door import Door
from generation.request import ImageRequest
from storage.store import VoteStore
from storage.vote import StoredSet, VoteOutcome


class InHand:
    """Counts the interactions that are being answered, so that a stop can wait for them."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if self._count == 0:
            self._none.set()

    async def finished(self) -> None:
        """Wait until there is none."""
        await self._none.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the command and the buttons work with.

    A request's message has buttons, and those buttons start, explain and cancel requests. The
    buttons therefore get the actions as callables and do not import `bot.chat.requests`. The same
    goes for ballots: `refresh_ballot` answers a press on a ballot, `show_ballot` any other.
    """

    store: VoteStore
    door: Door
    imagine: Callable[["Interaction", ImageRequest], Awaitable[None]]
    again: Callable[["Interaction", str], Awaitable[None]]
    edit: Callable[["Interaction", str], Awaitable[None]]
    vary: Callable[["Interaction", str], Awaitable[None]]
    details: Callable[["Interaction", str], Awaitable[None]]
    cancel: Callable[["Interaction", str], Awaitable[None]]
    jobs: Jobs
    gate: Gate
    operators_channel: int | None
    show_ballot: Callable[["Interaction", VoteOutcome], Awaitable[None]]
    refresh_ballot: Callable[["Interaction", VoteOutcome], Awaitable[None]]
    report: Callable[["Interaction", StoredSet], Awaitable[str]]
    """Tells the moderators of a request; what the member reads."""
    show_guidelines: Callable[["Interaction"], Awaitable[None]]
    show_notice: Callable[["Interaction", NoticeDue], Awaitable[None]]
    go_on: Callable[["Interaction", str], Awaitable[None]]
    """After *I agree*: do what was pressed before."""
    in_hand: InHand = field(default_factory=InHand)


class ContextClient(discord.AutoShardedClient):
    """A Discord client whose interactions lead to the context: `interaction.client.context`."""

    context: Context


Interaction = discord.Interaction[ContextClient]

"""Ballots: the one private message that shows a member their votes on a set.

The first press on a set sends it and later ones edit it, with the token of the first or of the last
press on the ballot itself. Tokens are in memory while they live: after that, and after a restart,
the next press sends a new ballot. What a ballot shows was read from the journal with a press.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import discord

from bot.chat import messages, texts, views
from bot.chat.context import Interaction
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN, say_privately, tolerated
from storage.vote import Ballot, VoteOutcome

log = logging.getLogger(__name__)

# Ballots that can still be edited; beyond that, the one that was longest unused gets no more edits.
MOST = 10_000

_Key = tuple[int, str]
"""A member and a set."""

_Kept = tuple[int, int, str, int]
"""The fields of a `_Handle`, and what its ballot shows, as `Ballot.as_of`. There are thousands, and
Python's garbage collector does not search plain tuples of texts and numbers, unlike objects:
searching those took up to 50 ms, for which everybody waited (docs/measurements.md)."""


@dataclass(frozen=True, slots=True)
class _Content:
    """The state of a member's votes, and what the press that made it so did."""

    ballot: Ballot
    slot: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class _Handle:
    """A ballot that was sent, and the interaction whose token edits it."""

    message_id: int
    interaction_id: int
    token: str

    @classmethod
    def of(cls, interaction: Interaction, message_id: int) -> Self:
        """The ballot is this message, which answered the interaction or was pressed by it."""
        return cls(message_id, interaction.id, interaction.token)

    @property
    def is_good(self) -> bool:
        """Whether it can be edited."""
        return _lives(self.interaction_id)

    def webhook(self, interaction: Interaction) -> discord.Webhook:
        """What edits the ballot. interaction: any of the same bot."""
        return discord.Webhook.partial(
            interaction.application_id, self.token, client=interaction.client
        )


@dataclass(slots=True, eq=False)
class _Sheet:
    """What one member is to read about one set, while presses of theirs are being answered.

    turn: one request to Discord at a time, so that the last one shows the last state. presses: that
    have their turn or wait for it.
    """

    wanted: _Content
    shown: _Content | None = None
    handle: _Handle | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    presses: int = 0


class Ballots:
    """The ballots that can be edited, by member and set."""

    def __init__(self) -> None:
        self._sheets: dict[_Key, _Sheet] = {}  # while there is something to tell Discord
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()  # after that

    async def show(self, interaction: Interaction, outcome: VoteOutcome) -> None:
        """Answer a press that is not on a ballot."""
        async with self._turn(interaction, outcome) as sheet:
            if sheet is not None:
                await _bring_up_to_date(sheet, interaction)

    async def refresh(self, interaction: Interaction, outcome: VoteOutcome) -> None:
        """Answer a press on a ballot, which may be an old one: it is the member's ballot now."""
        assert interaction.message is not None  # a press is on a message
        pressed_id = interaction.message.id
        async with self._turn(interaction, outcome) as sheet:
            if sheet is None:
                return

            other = sheet.handle
            if other is None or other.message_id != pressed_id:
                sheet.shown = None

            sheet.handle = _Handle.of(interaction, pressed_id)
            if not interaction.response.is_done():
                sheet.shown = await _replaced(interaction, sheet.wanted)

            await _bring_up_to_date(sheet, interaction)
            if other is not None and other.is_good and other.message_id != pressed_id:
                with tolerated(interaction, doing="removing another ballot"):
                    await other.webhook(interaction).delete_message(other.message_id)

    @asynccontextmanager
    async def _turn(
        self, interaction: Interaction, outcome: VoteOutcome
    ) -> AsyncIterator[_Sheet | None]:
        """The member's sheet, on which what is newest is wanted, when it is this press's turn.

        None if what is newer was shown already, or if there is no ballot: that was said then.
        """
        sentence = texts.outcome_sentence(outcome)
        ballot = outcome.ballot
        if ballot is None:
            await say_privately(interaction, sentence)
            yield None
            return

        content = _Content(ballot, outcome.slot, sentence)
        key = ballot.voter_id, ballot.set_id
        sheet = self._opened(key, content)
        if sheet is None:
            await _acknowledge(interaction)
            yield None
            return

        sheet.presses += 1
        try:
            if sheet.turn.locked():
                await _acknowledge(interaction)

            async with sheet.turn:
                yield sheet
        finally:
            sheet.presses -= 1
            if not sheet.presses:
                self._close(key)

    def _opened(self, key: _Key, content: _Content) -> _Sheet | None:
        """The sheet; None if what is newer was shown already: answers may overtake each other."""
        as_of = content.ballot.as_of
        sheet = self._sheets.get(key)
        if sheet is not None:
            if as_of >= sheet.wanted.ballot.as_of:
                sheet.wanted = content

            return sheet

        sheet = _Sheet(content)
        if key in self._kept:
            message_id, interaction_id, token, shown_as_of = self._kept[key]
            if as_of < shown_as_of:
                return None

            del self._kept[key]
            sheet.handle = _Handle(message_id, interaction_id, token)

        self._sheets[key] = sheet

        return sheet

    def _close(self, key: _Key) -> None:
        """Keep what edits the ballot, and nothing of those that nothing edits any more."""
        while self._kept and not _lives(next(iter(self._kept.values()))[1]):
            self._kept.popitem(last=False)

        sheet = self._sheets.pop(key)
        if (handle := sheet.handle) is not None:
            as_of = sheet.wanted.ballot.as_of
            self._kept[key] = handle.message_id, handle.interaction_id, handle.token, as_of

        if len(self._kept) > MOST:
            self._kept.popitem(last=False)


async def _bring_up_to_date(sheet: _Sheet, interaction: Interaction) -> None:
    """Edit the ballot, or send one if there is none that can be edited."""
    if sheet.handle is not None and sheet.handle.is_good:
        await _acknowledge(interaction)
        if sheet.shown is sheet.wanted:  # a press before this one has shown it already
            return

        content = sheet.wanted
        try:
            await sheet.handle.webhook(interaction).edit_message(
                sheet.handle.message_id,
                content=_text(content),
                view=_view(content),
                allowed_mentions=NO_MENTIONS,
            )
        except NOT_TAKEN as exc:
            log.info("interaction %d: a ballot was not edited: %s", interaction.id, exc)
        else:
            sheet.shown = content
            return

    content = sheet.wanted
    sheet.handle = sheet.shown = None
    message_id = await say_privately(interaction, _text(content), view=_view(content))
    if message_id is not None:
        sheet.handle, sheet.shown = _Handle.of(interaction, message_id), content


def _lives(interaction_id: int) -> bool:
    """Whether the interaction's token lives."""
    pressed_at = discord.utils.snowflake_time(interaction_id)

    return discord.utils.utcnow() - pressed_at <= messages.TOKEN_LIFE


async def _acknowledge(interaction: Interaction) -> None:
    """Tell Discord that the press arrived, without a new message; once."""
    if not interaction.response.is_done():
        with tolerated(interaction, doing="acknowledging a press"):
            await interaction.response.defer()


async def _replaced(interaction: Interaction, content: _Content) -> _Content | None:
    """Acknowledge a press on a ballot by showing this there; None if Discord did not take it."""
    with tolerated(interaction, doing="editing a ballot"):
        await interaction.response.edit_message(
            content=_text(content), view=_view(content), allowed_mentions=NO_MENTIONS
        )
        return content

    return None


def _text(content: _Content) -> str:
    return texts.ballot(content.ballot, content.sentence)


def _view(content: _Content) -> discord.ui.View:
    view = views.ballot(content.ballot, slot=content.slot)
    view.stop()  # discord.py would keep it for 15 minutes; its buttons work without it

    return view

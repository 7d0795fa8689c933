"""Ballots: the one private message that shows a member their votes on a set.

The first press on a set sends it and later ones edit it, with the token of the first or of the last
press on the ballot itself. Tokens are in memory while they live: after that, and after a restart,
the next press sends a new ballot. What a ballot shows was read from the journal with a press.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field

import discord

from bot.chat import messages, texts, views
from bot.chat.context import Interaction
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN, say_privately, tolerated
from storage.vote import Ballot, VoteOutcome

log = logging.getLogger(__name__)

# Ballots that can still be edited; beyond that, the one that was longest unused gets no more edits.
MOST = 10_000


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
    webhook: discord.Webhook

    @property
    def is_good(self) -> bool:
        """Whether the token lives."""
        pressed_at = discord.utils.snowflake_time(self.interaction_id)

        return discord.utils.utcnow() - pressed_at <= messages.TOKEN_LIFE


@dataclass(slots=True, eq=False)
class _Sheet:
    """What one member is to read about one set, and what is in front of them.

    turn: one request to Discord at a time, so that the last one shows the last state.
    """

    wanted: _Content
    shown: _Content | None = None
    handle: _Handle | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_over(self) -> bool:
        """Whether what was sent cannot be edited any more, and nothing is being sent."""
        return self.handle is not None and not self.handle.is_good and not self.turn.locked()


class Ballots:
    """The ballots that can be edited, by member and set."""

    def __init__(self) -> None:
        self._sheets: OrderedDict[tuple[int, str], _Sheet] = OrderedDict()

    async def show(self, interaction: Interaction, outcome: VoteOutcome) -> None:
        """Answer a press that is not on a ballot."""
        sheet = await self._sheet(interaction, outcome)
        if sheet is None:
            return

        async with sheet.turn:
            await self._bring_up_to_date(sheet, interaction)

    async def refresh(self, interaction: Interaction, outcome: VoteOutcome) -> None:
        """Answer a press on a ballot, which may be an old one: it is the member's ballot now."""
        sheet = await self._sheet(interaction, outcome)
        if sheet is None:
            return

        assert interaction.message is not None  # a press is on a message
        pressed_id = interaction.message.id
        async with sheet.turn:
            other = sheet.handle
            if other is None or other.message_id != pressed_id:
                sheet.shown = None

            sheet.handle = _handle(interaction, pressed_id)
            if not interaction.response.is_done():
                sheet.shown = await _replaced(interaction, sheet.wanted)

            await self._bring_up_to_date(sheet, interaction)
            if other is not None and other.is_good and other.message_id != pressed_id:
                with tolerated(interaction, doing="removing another ballot"):
                    await other.webhook.delete_message(other.message_id)

    async def _sheet(self, interaction: Interaction, outcome: VoteOutcome) -> _Sheet | None:
        """The member's sheet, on which what is newest is wanted; None if that was said instead.

        Acknowledges the press if it has to wait for its turn.
        """
        sentence = texts.outcome_sentence(outcome)
        ballot = outcome.ballot
        if ballot is None:
            await say_privately(interaction, sentence)
            return None

        content = _Content(ballot, outcome.slot, sentence)
        key = ballot.voter_id, ballot.set_id
        while self._sheets and next(iter(self._sheets.values())).is_over:
            self._sheets.popitem(last=False)

        sheet = self._sheets.setdefault(key, _Sheet(content))
        self._sheets.move_to_end(key)
        if len(self._sheets) > MOST:
            self._sheets.popitem(last=False)

        # Answers may overtake each other.
        if ballot.as_of >= sheet.wanted.ballot.as_of:
            sheet.wanted = content

        if sheet.turn.locked():
            await _acknowledge(interaction)

        return sheet

    async def _bring_up_to_date(self, sheet: _Sheet, interaction: Interaction) -> None:
        """Edit the ballot, or send one if there is none that can be edited."""
        if sheet.handle is not None and sheet.handle.is_good:
            await _acknowledge(interaction)
            if sheet.shown is sheet.wanted:  # a press before this one has shown it already
                return

            content = sheet.wanted
            try:
                await sheet.handle.webhook.edit_message(
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
            sheet.handle, sheet.shown = _handle(interaction, message_id), content


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


def _handle(interaction: Interaction, message_id: int) -> _Handle:
    return _Handle(message_id, interaction.id, interaction.followup)


def _text(content: _Content) -> str:
    return texts.ballot(content.ballot, content.sentence)


def _view(content: _Content) -> discord.ui.View:
    view = views.ballot(content.ballot, slot=content.slot)
    view.stop()  # discord.py would keep it for 15 minutes; its buttons work without it

    return view

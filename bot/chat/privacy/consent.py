"""Asks people to agree to the server's text, and then does what they wanted to do.

The custom id of *I agree* has that of the press before in it, so that goes on after a restart too.
What somebody typed for a request does not fit in there: it is held in memory.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Self

import discord
from discord import ui

from bot.chat import views
from bot.chat.admission.gate import ConsentNeeded
from bot.chat.buttons import SetButton, UndoButton, VoteButton
from bot.chat.context import Context, Interaction
from bot.chat.custom_ids import AgreeId, ReasonsId, SetId, UndoId, VoteId
from bot.chat.languages.translation import _
from bot.chat.privacy import sentences
from bot.chat.responses import answered, in_time, say_privately, tolerated
from generation.request import ImageRequest

# Texts that people were shown and have not agreed to.
_MOST_SHOWN = 1_000

_TYPED = "typed"
"""In place of a press: a request, which is held in memory."""

_BUTTONS = ((VoteId, VoteButton), (UndoId, UndoButton), (SetId, SetButton))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A message with the text: what edits it, and what was asked for, if it was a request."""

    webhook: discord.Webhook
    request: ImageRequest | None


class Consent:
    """Asks, and goes on. What was shown is kept in memory, by the message's id."""

    def __init__(self) -> None:
        self._shown: OrderedDict[int, _Shown] = OrderedDict()

    async def ask(self, interaction: Interaction, needed: ConsentNeeded) -> None:
        """Show the text with *I agree*."""
        press = _TYPED if needed.request is not None else _press(interaction)
        message_id = await say_privately(
            interaction,
            sentences.consent(needed.text),
            view=agree_view(needed.text.version, press),
        )
        if message_id is not None:
            self._shown[message_id] = _Shown(interaction.followup, needed.request)
            if len(self._shown) > _MOST_SHOWN:
                self._shown.popitem(last=False)

    async def go_on(self, interaction: Interaction, press: str) -> None:
        """Do what the person wanted, as if they had been asked before."""
        assert interaction.message is not None  # *I agree* is on one
        message_id = interaction.message.id
        shown = self._shown.pop(message_id, None)
        try:
            if press != _TYPED:
                await _pressed(interaction, f"oxherd1:{press}")
            elif shown is not None and shown.request is not None:
                await interaction.client.context.imagine(interaction, shown.request)
            else:
                await say_privately(interaction, sentences.ask_again())
        finally:
            if shown is not None:
                with tolerated(interaction, doing="closing the text"):
                    await shown.webhook.edit_message(
                        message_id, content=sentences.agreed(), view=None
                    )


class AgreeButton(ui.DynamicItem[ui.Button[Any]], template=AgreeId.PATTERN):
    """*I agree*, under the server's text."""

    def __init__(self, version: int, press: str) -> None:
        self.version = version
        self.press = press
        super().__init__(
            ui.Button(
                label=_("I agree"),
                style=discord.ButtonStyle.success,
                custom_id=str(AgreeId(version, press)),
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        agreed = AgreeId.parse(match.string)

        return cls(agreed.version, agreed.press)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record it, then go on."""
        context: Context = interaction.client.context
        assert interaction.guild_id is not None  # the text is a server's
        async with answered(interaction):
            await in_time(
                interaction,
                context.store.agree(interaction.user.id, interaction.guild_id, self.version),
            )
            await context.go_on(interaction, self.press)


def agree_view(version: int, press: str) -> ui.View:
    """*I agree*, and what is to be done then."""
    return views.under_text(AgreeButton(version, press))


def _press(interaction: Interaction) -> str:
    """What was pressed; if it was *I agree* under an older text, what was pressed before."""
    custom_id = interaction.custom_id or ""
    agreed = AgreeId.PATTERN.fullmatch(custom_id)

    return agreed["press"] if agreed else custom_id.removeprefix("oxherd1:")


async def _pressed(interaction: Interaction, custom_id: str) -> None:
    for kind, button in _BUTTONS:
        match = kind.PATTERN.fullmatch(custom_id)
        if match is not None:
            item = await button.from_custom_id(interaction, ui.Button(), match)
            await item.callback(interaction)
            return

    picked = ReasonsId.PATTERN.fullmatch(custom_id) is not None
    await say_privately(interaction, sentences.pick_again() if picked else sentences.ask_again())

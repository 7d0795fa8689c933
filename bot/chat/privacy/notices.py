"""Shows people what they have to see first, and then does what they wanted to do: the text that
they have to agree to, the guidelines, or both in one message.

The custom id of the button has that of the press before in it, so that goes on after a restart too.
What somebody typed for a request does not fit in there: it is held in memory.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Self

import discord
from discord import ui

from bot.chat import texts, views
from bot.chat.admission.gate import NoticeDue
from bot.chat.arena.buttons import PairButton
from bot.chat.buttons import SetButton, UndoButton, VoteButton
from bot.chat.context import Context, Interaction
from bot.chat.custom_ids import AgreeId, PairId, RateId, ReasonsId, SetId, UndoId, VoteId
from bot.chat.guidelines.panel import panel
from bot.chat.privacy import sentences
from bot.chat.rating.buttons import RateButton
from bot.chat.responses import (
    answered,
    in_time,
    prompt_file,
    say_privately,
    show_privately,
    tolerated,
    typed_in,
)
from bot.prompts.typed import Typed
from generation.request import ImageRequest

# Messages that people were shown and have not answered.
_MOST_SHOWN = 1_000

_TEXT_CHARS = 4_000
"""What Discord takes as the text of all parts together."""

_TYPED = "typed"
"""In place of a press: a request, which is held in memory."""

_BUTTONS = (
    (VoteId, VoteButton),
    (UndoId, UndoButton),
    (SetId, SetButton),
    (RateId, RateButton),
    (PairId, PairButton),
)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A message that was shown: what edits it, and what was asked for and typed, if it was a
    request."""

    webhook: discord.Webhook
    request: ImageRequest | None
    typed: Typed | None


class Notices:
    """Shows them, and goes on. What was shown is kept in memory, by the message's id."""

    def __init__(self) -> None:
        self._shown: OrderedDict[int, _Shown] = OrderedDict()

    async def show(self, interaction: Interaction, due: NoticeDue) -> None:
        """Show what is due, with *I agree* or *Go on*, and what was typed: a restart forgets it
        here."""
        notice, store = due.notice, interaction.client.context.store
        parts: list[ui.Item[Any]] = []
        files: list[discord.File] = []
        if notice.guidelines is not None:
            guidelines = await in_time(interaction, panel(store, notice.guidelines))
            parts += guidelines.parts
            files += guidelines.files

        if notice.consent is not None:
            parts += [ui.Separator()] if parts else []
            parts.append(ui.TextDisplay(sentences.consent(notice.consent)))

        typed = typed_in(interaction)
        if typed:
            text = texts.asked_for(typed)
            fits = len(text) <= _TEXT_CHARS - sum(map(_chars, parts))
            files += [] if fits else [prompt_file(typed)]
            parts.append(ui.TextDisplay(text) if fits else ui.File("attachment://prompt.txt"))

        pressed = due.press or interaction.custom_id or ""
        button = AgreeButton(
            0 if notice.consent is None else notice.consent.version,
            0 if notice.guidelines is None else notice.guidelines.edition,
            _TYPED if due.request is not None else _press(pressed),
        )
        view = views.boxed(*parts, ui.ActionRow[Any](button))
        message_id = await show_privately(interaction, view, files=files)
        if message_id is not None:
            self._shown[message_id] = _Shown(interaction.followup, due.request, typed)
            if len(self._shown) > _MOST_SHOWN:
                self._shown.popitem(last=False)

    async def go_on(self, interaction: Interaction, press: str) -> None:
        """Do what the person wanted, as if they had been shown this before."""
        assert interaction.message is not None  # the button is on one
        message_id = interaction.message.id
        shown = self._shown.pop(message_id, None)
        try:
            if press != _TYPED:
                await _pressed(interaction, f"oxherd1:{press}")
            elif shown is not None and shown.request is not None:
                async with answered(interaction, typed=shown.typed):
                    await interaction.client.context.imagine(interaction, shown.request)
            else:
                await say_privately(interaction, sentences.ask_again())
        finally:
            if shown is not None:
                with tolerated(interaction, doing="closing the text"):
                    await shown.webhook.edit_message(
                        message_id,
                        view=views.boxed(ui.TextDisplay(sentences.thank_you())),
                        attachments=[],
                    )


class AgreeButton(ui.DynamicItem[ui.Button[Any]], template=AgreeId.PATTERN):
    """*I agree*, under the server's text, or *Go on* where there are only the guidelines."""

    def __init__(self, version: int, edition: int, press: str) -> None:
        self.version = version
        self.edition = edition
        self.press = press
        super().__init__(
            ui.Button(
                label=sentences.i_agree() if version else sentences.go_on(),
                style=discord.ButtonStyle.success,
                custom_id=str(AgreeId(version, edition, press)),
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        agreed = AgreeId.parse(match.string)

        return cls(agreed.version, agreed.edition, agreed.press)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record it, then go on."""
        context: Context = interaction.client.context
        assert interaction.guild_id is not None  # the text is a server's
        async with answered(interaction):
            await in_time(
                interaction,
                context.store.noticed(
                    interaction.user.id,
                    interaction.guild_id,
                    agrees_to=self.version or None,
                    edition=self.edition or None,
                ),
            )
            await context.go_on(interaction, self.press)


def _chars(part: ui.Item[Any]) -> int:
    return len(part.content) if isinstance(part, ui.TextDisplay) else 0


def _press(custom_id: str) -> str:
    """What was pressed; if that was this button under an older text, what was pressed before."""
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

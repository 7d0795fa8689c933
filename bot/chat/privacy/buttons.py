"""The buttons under /privacy: my data, forget me, and which of it."""

import gzip
import json
import re
from io import BytesIO
from typing import Any, Self

import discord
from discord import ui

from bot.chat import views
from bot.chat.context import Context, Interaction
from bot.chat.custom_ids import PrivacyId
from bot.chat.languages.translation import N_, _
from bot.chat.privacy import sentences
from bot.chat.responses import answered, in_time, replace_pressed, say_privately

# What Discord takes in any server.
_FILE_BYTES = 8 * 2**20

_LABELS = {
    "data": (N_("My data"), discord.ButtonStyle.secondary),
    "forget": (N_("Forget me"), discord.ButtonStyle.danger),
    "votes": (N_("My votes"), discord.ButtonStyle.danger),
    "everything": (N_("Everything"), discord.ButtonStyle.danger),
    "keep": (N_("Keep all"), discord.ButtonStyle.secondary),
}


class PrivacyButton(ui.DynamicItem[ui.Button[Any]], template=PrivacyId.PATTERN):
    """One of the buttons of /privacy. It is about whoever presses it."""

    def __init__(self, action: str) -> None:
        self.action = action
        label, style = _LABELS[action]
        super().__init__(ui.Button(label=_(label), style=style, custom_id=str(PrivacyId(action))))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls(PrivacyId.parse(match.string).action)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the button says."""
        async with answered(interaction):
            match self.action:
                case "data":
                    await _give_data(interaction)
                case "forget":
                    await replace_pressed(interaction, sentences.confirm(), view=_which_view())
                case "keep":
                    await replace_pressed(interaction, sentences.kept_all())
                case _:
                    await _forget(interaction, requests=self.action == "everything")


def first_view() -> ui.View:
    """The two buttons under /privacy."""
    return _view("data", "forget")


def _which_view() -> ui.View:
    """What to forget, if anything."""
    return _view("votes", "everything", "keep")


def _view(*actions: str) -> ui.View:
    return views.under_text(*map(PrivacyButton, actions))


async def _give_data(interaction: Interaction) -> None:
    context: Context = interaction.client.context
    data = await in_time(interaction, context.store.data_of(interaction.user.id))
    content, name = json.dumps(data, indent=2, ensure_ascii=False).encode(), "my-data.json"
    if len(content) > _FILE_BYTES:
        content, name = gzip.compress(content), f"{name}.gz"

    await say_privately(interaction, sentences.data(), files=[discord.File(BytesIO(content), name)])


async def _forget(interaction: Interaction, *, requests: bool) -> None:
    context: Context = interaction.client.context
    context.jobs.cancel_all(None, interaction.user.id)
    done = await in_time(
        interaction,
        context.store.forget(interaction.user.id, requests=requests),
        new_message=False,
    )
    await replace_pressed(interaction, sentences.forgotten(done))

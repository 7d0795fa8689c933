"""Vary: four variations of an image that a member chooses."""

import re
from typing import Any, Self

import discord
from discord import ui

from bot.chat import texts, views
from bot.chat.context import Context, Interaction
from bot.chat.custom_ids import VaryId
from bot.chat.responses import answered, in_time, say_privately
from bot.chat.sets import sentences
from generation.request import ImageRequest, can_vary
from storage.vote import StoredSet


class VarySelect(ui.DynamicItem[ui.Select[Any]], template=VaryId.PATTERN):
    """Which image of a request to vary."""

    def __init__(self, set_id: str, menu: ui.Select[Any]) -> None:
        self.set_id = set_id
        super().__init__(menu)

    @classmethod
    def of(cls, stored: StoredSet) -> Self:
        """The images that are shown."""
        return cls(
            stored.set_id,
            ui.Select(
                custom_id=str(VaryId(stored.set_id)),
                placeholder=sentences.choose_an_image(),
                options=[
                    discord.SelectOption(label=texts.image(image.slot), value=image.image_id)
                    for image in stored.images
                    if image.is_shown
                ],
            ),
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The menu from which an image was chosen."""
        assert isinstance(item, ui.Select)

        return cls(VaryId.parse(match.string).set_id, item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Ask for the variations, as a request of whoever chose."""
        context: Context = interaction.client.context
        async with answered(interaction):
            stored = await in_time(
                interaction,
                context.store.find_set(self.set_id, guild_id=interaction.guild_id),
                public=True,
            )
            if stored is None:
                await say_privately(interaction, texts.unknown_set())
                return

            request = context.door.admit_variation(
                ImageRequest.from_json(stored.request), of=self.item.values[0]
            )
            await context.imagine(interaction, request)


async def ask_which(interaction: Interaction, set_id: str) -> None:
    """Answer *Vary* with a menu of the images, for the member who pressed."""
    store = interaction.client.context.store
    stored = await in_time(interaction, store.find_set(set_id, guild_id=interaction.guild_id))
    if stored is None:
        await say_privately(interaction, texts.unknown_set())
    elif not can_vary(stored.provenance or {}):
        await say_privately(interaction, texts.cannot_vary())
    elif not any(image.is_shown for image in stored.images):
        await say_privately(interaction, sentences.nothing_to_vary())
    else:
        menu = views.under_text(VarySelect.of(stored))
        await say_privately(interaction, sentences.which_to_vary(), view=menu)

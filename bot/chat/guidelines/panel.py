"""The guidelines as members see them: the moderators' text, and two example images side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import discord
from discord import ui

from bot.chat import views
from bot.chat.context import Interaction
from bot.chat.guidelines import sentences
from bot.chat.responses import in_time, say_privately, show_privately
from storage.acts import Guidelines
from storage.store import VoteStore


@dataclass(frozen=True, slots=True)
class Panel:
    """Parts of one private message, and what is attached to it. Sending uses them up."""

    parts: Sequence[ui.Item[Any]]
    files: Sequence[discord.File]


async def panel(store: VoteStore, guidelines: Guidelines) -> Panel:
    """The guidelines, with those of the examples that still exist. Raises StorageError."""
    shown = [
        (is_good, png)
        for is_good, image_id in ((True, guidelines.good_image), (False, guidelines.bad_image))
        if image_id is not None and (png := await store.example(image_id)) is not None
    ]
    parts: list[ui.Item[Any]] = [ui.TextDisplay(sentences.text(guidelines))]
    if shown:
        gallery: ui.MediaGallery[Any] = ui.MediaGallery(
            *(
                discord.MediaGalleryItem(
                    f"attachment://{_name(is_good)}", description=sentences.alt(good=is_good)
                )
                for is_good, _ in shown
            )
        )
        which = {is_good for is_good, _ in shown}
        legend = sentences.legend(good=True in which, bad=False in which)
        parts += [gallery, ui.TextDisplay(legend)]

    files = [
        discord.File(BytesIO(png), _name(is_good), description=sentences.alt(good=is_good))
        for is_good, png in shown
    ]

    return Panel(parts, files)


async def show_guidelines(interaction: Interaction) -> None:
    """Show those of the server in a private message of their own."""
    store = interaction.client.context.store
    guidelines = await store.moderation.guidelines(interaction.guild_id)
    if guidelines is None:
        await say_privately(interaction, sentences.no_guidelines())
        return

    shown = await in_time(interaction, panel(store, guidelines))
    await show_privately(interaction, views.boxed(*shown.parts), files=shown.files)


def _name(is_good: bool) -> str:
    return "good.png" if is_good else "bad.png"

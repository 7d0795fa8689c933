"""Removes images from the dataset and from their message, and brings them back."""

from typing import Any

import discord
from discord import app_commands, ui

from bot.chat import texts
from bot.chat.arena.removed import show_pair_anew
from bot.chat.context import ContextClient, Interaction
from bot.chat.custom_ids import PairId, SetId
from bot.chat.languages.translation import _
from bot.chat.messages import buttons_on
from bot.chat.moderation import sentences
from bot.chat.responses import answered, in_time, say_privately
from bot.chat.sets.shown import show_anew
from storage.acts import Order
from storage.vote import StoredSet

REASON_CHARS = 300
"""The longest reason for an act."""


async def remove(client: ContextClient, subject: str, order: Order) -> str:
    """Remove an image, or all of a request, and say what was done. subject: the id of either."""
    act = await client.context.store.moderation.remove(subject, order)
    if act is None or act.set_id is None:
        return sentences.nothing_to_remove()

    return sentences.answer(act, message_changed=await _shown_anew(client, act.set_id))


async def restore(client: ContextClient, subject: str, order: Order) -> str:
    """Bring an image, or all of a request, back, and say what was done."""
    act = await client.context.store.moderation.restore(subject, order)
    if act is None or act.set_id is None:
        return sentences.nothing_to_restore()

    return sentences.answer(act, message_changed=await _shown_anew(client, act.set_id))


async def _shown_anew(client: ContextClient, set_id: str) -> bool:
    """Show what is left in every message with the images; whether Discord has taken that."""
    return await show_anew(client, set_id) and await show_pair_anew(client, set_id)


@app_commands.guild_only()
@app_commands.default_permissions(manage_messages=True)
@app_commands.context_menu(name="Remove from dataset")
async def remove_from_dataset(interaction: Interaction, message: discord.Message) -> None:
    """Asks which images of the message to remove, and why."""
    async with answered(interaction):
        stored = await set_on(interaction, message)
        if stored is None:
            await say_privately(interaction, sentences.no_images())
        else:
            await interaction.response.send_modal(RemovalForm(stored))


async def set_on(interaction: Interaction, message: discord.Message) -> StoredSet | None:
    """The request of this server whose images the message shows; of a pair, that of the left one:
    without it, the pair is not shown. None for any other message."""
    store = interaction.client.context.store
    for custom_id in buttons_on(message):
        if SetId.PATTERN.fullmatch(custom_id):
            subject = SetId.parse(custom_id).set_id
        elif PairId.PATTERN.fullmatch(custom_id):
            subject = PairId.parse(custom_id).pair_id
        else:
            continue

        stored = await store.find_set(subject, guild_id=interaction.guild_id, paired=True)
        if stored is not None and stored.images:
            return stored

    return None


class RemovalForm(ui.Modal):
    """What to remove, and why. After a restart of the bot, Discord asks to try again."""

    def __init__(self, stored: StoredSet) -> None:
        super().__init__(title=_("Remove from dataset"))
        here = [image for image in stored.images if not image.withheld and not image.taken_out]
        self._what: ui.Select[Any] = ui.Select(
            custom_id="what",
            options=[
                discord.SelectOption(label=_("All images"), value=stored.set_id, default=True),
                *(
                    discord.SelectOption(label=texts.image(image.slot), value=image.image_id)
                    for image in here
                ),
            ],
        )
        self._why: ui.TextInput[Any] = ui.TextInput(custom_id="why", max_length=REASON_CHARS)
        self.add_item(ui.Label(text=_("What"), component=self._what))
        self.add_item(ui.Label(text=_("Why"), component=self._why))

    async def on_submit(self, interaction: Interaction, /) -> None:  # type: ignore[override]
        """Remove it, and say so."""
        async with answered(interaction):
            order = Order(
                guild_id=interaction.guild_id,
                moderator_id=interaction.user.id,
                reason=self._why.value,
            )
            removal = remove(interaction.client, self._what.values[0], order)
            await say_privately(interaction, await in_time(interaction, removal))

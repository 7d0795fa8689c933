"""What the forms of moderators have in common."""

from io import BytesIO
from typing import Any

import discord
from discord import ui

from bot.chat.context import Interaction
from bot.chat.moderation import form_sentences as sentences
from bot.chat.moderation.removing import REASON_CHARS
from bot.chat.responses import say_privately
from storage.acts import Order


def why_field() -> ui.TextInput[Any]:
    """Where a moderator says why, for the log."""
    return ui.TextInput(custom_id="why", max_length=REASON_CHARS, required=False)


def why_label(field: ui.TextInput[Any]) -> ui.Label[Any]:
    return ui.Label(text=sentences.why(), description=sentences.for_the_log(), component=field)


def order(interaction: Interaction, why: ui.TextInput[Any]) -> Order:
    """Who sends the form, in which server, and why."""
    assert interaction.guild_id is not None  # Discord offers the group in servers only

    return Order(
        guild_id=interaction.guild_id, moderator_id=interaction.user.id, reason=why.value.strip()
    )


def long_text(
    custom_id: str, *, now: str, most: int, placeholder: str | None = None
) -> ui.TextInput[Any]:
    """A text of several lines, with what is set now."""
    return ui.TextInput(
        custom_id=custom_id,
        style=discord.TextStyle.paragraph,
        default=now or None,
        placeholder=placeholder,
        max_length=most,
        required=False,
    )


async def give_back(interaction: Interaction, sentence: str, typed: str) -> None:
    """Say why nothing was set, with what was typed, so that nobody types it again."""
    files = [discord.File(BytesIO(typed.encode()), "typed.txt")] if typed.strip() else []
    await say_privately(interaction, sentence, files=files)

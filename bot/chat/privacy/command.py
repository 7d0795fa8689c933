"""The slash command /privacy."""

from typing import Any

from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.privacy import sentences
from bot.chat.privacy.buttons import first_view
from bot.chat.responses import answered, say_privately
from bot.settings import Settings


def privacy_command(settings: Settings) -> app_commands.Command[Any, ..., None]:
    """/privacy says what is kept, for how long, and has two buttons."""

    async def privacy(interaction: Interaction) -> None:
        async with answered(interaction):
            await say_privately(interaction, sentences.what_is_kept(settings), view=first_view())

    made: app_commands.Command[Any, ..., None] = app_commands.command(
        name="privacy", description="What I keep of you, and how to have it forgotten"
    )(privacy)

    return app_commands.guild_only()(made)

"""The slash command /rate."""

from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.rating.buttons import begin
from bot.chat.responses import answered


@app_commands.guild_only()
@app_commands.command()
async def rate(interaction: Interaction) -> None:
    """Vote on images that need votes, one after another; only you see them"""
    async with answered(interaction):
        await begin(interaction)

"""All commands on Discord: the client answers them, `oxherd sync-commands` registers them."""

from typing import Any

from discord import app_commands

from bot.chat.imagine import imagine_command
from bot.chat.moderation.commands import ModeratorCommands
from bot.chat.moderation.removing import remove_from_dataset
from bot.chat.moderation.reports import report
from bot.chat.privacy.command import privacy_command
from bot.chat.rating.command import rate
from bot.chat.sets.show import show
from bot.chat.standing.commands import leaderboard, me, top
from bot.prompts.door import Limits
from bot.settings import Settings


def add_commands(
    tree: app_commands.CommandTree[Any], settings: Settings, limits: Limits, **where: Any
) -> None:
    """Add them to the tree; `where` as in discord.py's `add_command`."""
    for command in (
        imagine_command(settings, limits),
        rate,
        show,
        privacy_command(settings),
        me,
        top,
        leaderboard,
        ModeratorCommands(settings),
        remove_from_dataset,
        report,
    ):
        # Not by users for themselves: then they could use it in servers that the bot is not in.
        here = app_commands.allowed_installs(guilds=True, users=False)(command)
        tree.add_command(here, **where)

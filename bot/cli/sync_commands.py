"""Registers the slash commands with Discord, once instead of at every start."""

import aiohttp
import discord

from bot.chat.imagine import imagine_command
from bot.errors import CannotConnect
from bot.settings import Settings, SettingsError


async def register(settings: Settings, *, guild_id: int | None) -> list[str]:
    """Replace the application's commands, and return the names that are now registered.

    Raises SettingsError for a bad token or a server the bot is not in, CannotConnect when Discord
    cannot be reached.
    """
    async with discord.Client(intents=discord.Intents(guilds=True)) as client:
        tree: discord.app_commands.CommandTree[discord.Client] = discord.app_commands.CommandTree(
            client
        )
        guild = None if guild_id is None else discord.Object(guild_id)
        tree.add_command(imagine_command(settings), guild=guild)
        try:
            await client.login(settings.usable_token)
            registered = await tree.sync(guild=guild)
        except discord.LoginFailure as exc:
            raise SettingsError("Discord does not accept OXHERD_TOKEN.") from exc
        except discord.Forbidden as exc:
            raise SettingsError(
                f"The bot may not register commands in server {guild_id}: is it a member there, "
                "invited with the scope applications.commands?"
            ) from exc
        except (aiohttp.ClientError, OSError, discord.HTTPException) as exc:
            raise CannotConnect(f"Discord could not be reached: {exc}.") from exc

    return [command.name for command in registered]

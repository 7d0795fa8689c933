"""Registers the slash commands with Discord, once instead of at every start."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import discord
from discord.app_commands import AppCommand, CommandTree

from bot.chat.commands import add_commands
from bot.chat.languages.commands import CommandTranslator
from bot.configuration import limits
from bot.errors import CannotConnect
from bot.settings import Settings, SettingsError


async def register(settings: Settings, *, guild_id: int | None, remove: bool = False) -> list[str]:
    """Replace the application's commands, everywhere or in one server; what was done, in sentences.

    A command that is registered everywhere and in a server is there twice. So registering it
    everywhere removes it from each server, and registering it in a server says if it is twice.

    remove: register nothing there. Raises SettingsError for what a person must change, and
    CannotConnect when Discord cannot be reached.
    """
    token = settings.usable_token
    async with discord.Client(intents=discord.Intents(guilds=True)) as client:
        tree: CommandTree[discord.Client] = CommandTree(client)
        await tree.set_translator(CommandTranslator())
        guild = None if guild_id is None else discord.Object(guild_id)
        if not remove:
            offered = await asyncio.to_thread(limits, settings)
            add_commands(tree, settings, offered, guild=guild)

        where = "everywhere" if guild is None else f"in server {guild_id}"
        with _sentences(guild_id):
            await client.login(token)
            registered = await tree.sync(guild=guild)
            names = ", ".join(map(_name, registered))
            done = [f"Registered {where}: {names}." if names else f"Removed {where}."]
            if remove:
                return done

            if guild is None:
                return [*done, *[line async for line in _removed_from_servers(client, tree)]]

            if await tree.fetch_commands():
                done.append(
                    "It is also registered everywhere, so this server has it twice. "
                    "`oxherd sync-commands --remove` removes the one everywhere."
                )

            return done


def _name(command: AppCommand) -> str:
    """As Discord shows it: only commands that are typed have a slash."""
    typed = command.type is discord.AppCommandType.chat_input

    return f"/{command.name}" if typed else f"“{command.name}”"


async def _removed_from_servers(
    client: discord.Client, tree: CommandTree[discord.Client]
) -> AsyncIterator[str]:
    async for server in client.fetch_guilds(limit=None):
        if await tree.fetch_commands(guild=server):
            await tree.sync(guild=server)
            yield f"Removed in server {server.id}, which would have it twice."


@contextmanager
def _sentences(guild_id: int | None) -> Iterator[None]:
    """Translate what Discord answers."""
    try:
        yield
    except discord.LoginFailure as exc:
        raise SettingsError("Discord does not accept OXHERD_TOKEN.") from exc
    except discord.Forbidden as exc:
        raise SettingsError(
            f"The bot may not register commands in server {guild_id}: is it a member there, "
            "invited with the scope applications.commands?"
        ) from exc
    except discord.NotFound as exc:
        raise SettingsError(f"Discord knows no server {guild_id}.") from exc
    except (aiohttp.ClientError, OSError, discord.HTTPException) as exc:
        if isinstance(exc, discord.HTTPException) and exc.status == 400:
            raise SettingsError(f"Discord refuses the command: {exc.text}.") from exc

        raise CannotConnect(f"Discord could not be reached: {exc}.") from exc

"""Which servers are served, and who may ask for images there, now."""

from collections.abc import Collection
from datetime import UTC, datetime

import discord

from bot.chat import texts
from bot.chat.context import Interaction
from storage.store import VoteStore


class Barred(Exception):
    """The member may not do this here, now. The message is what they read."""


class Gate:
    """Refuses requests that moderators do not want. Votes are refused where they are recorded."""

    def __init__(self, store: VoteStore, *, guilds: Collection[int] = ()) -> None:
        """guilds: the servers that are served; empty for the one that the bot joined first."""
        self._store = store
        self._guilds = guilds

    def serves(self, guild_id: int | None, *, among: Collection[discord.Guild]) -> bool:
        """Whether the server is one of those that are served. among: those that the bot is in."""
        if self._guilds:
            return guild_id in self._guilds

        return bool(among) and guild_id == min(among, key=_joined_at).id

    async def admit(self, interaction: Interaction) -> None:
        """Raises Barred for a member who may not ask, and StorageError."""
        ban = await self._store.moderation.ban_of(interaction.user.id, interaction.guild_id)
        if ban is not None:
            raise Barred(texts.banned(ban))


def _joined_at(guild: discord.Guild) -> tuple[datetime, int]:
    """When the bot joined; the same order after each start."""
    joined_at = None if guild.me is None else guild.me.joined_at

    return joined_at or datetime.max.replace(tzinfo=UTC), guild.id

"""Where a request's public message is, and how to reach it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import discord
from discord import ui

from bot.chat.responses import NO_MENTIONS

# An interaction's token dies after 15 minutes; a minute is kept for the upload.
TOKEN_LIFE = timedelta(minutes=14)


class MessageDeleted(Exception):
    """Somebody deleted the message; nobody waits for it any more."""


class InteractionPlace:
    """The answer to an interaction, and the channel once its token is over.

    Both kinds of place raise what is in `responses.NOT_TAKEN` for what Discord does not take.
    """

    def __init__(self, interaction: discord.Interaction[Any], message_id: int) -> None:
        self._interaction = interaction
        self._channel = ChannelPlace(
            interaction.client,
            channel_id=interaction.channel_id or 0,
            guild_id=interaction.guild_id,
            message_id=message_id,
        )
        self.message_id = message_id

    async def show(self, view: ui.LayoutView, files: Sequence[discord.File] = ()) -> None:
        """Replace what the message shows and what is attached. Raises MessageDeleted."""
        if self.token_is_over:
            await self._channel.show(view, files)
            return

        await self._edit(view, files)

    async def post(self, view: ui.LayoutView, files: Sequence[discord.File]) -> int:
        """Show the images in this message; after 14 minutes, in a new one in the channel."""
        if self.token_is_over:
            return await self._channel.post(view, files)

        await self._edit(view, files)

        return self.message_id

    async def _edit(self, view: ui.LayoutView, files: Sequence[discord.File]) -> None:
        try:
            # What was attached and is not named again is deleted: a preview does not stay.
            await self._interaction.edit_original_response(
                view=view, attachments=list(files), allowed_mentions=NO_MENTIONS
            )
        except discord.NotFound as exc:
            raise MessageDeleted from exc

    @property
    def token_is_over(self) -> bool:
        """Whether only the channel is left, and nothing can be said privately any more."""
        return discord.utils.utcnow() - self._interaction.created_at > TOKEN_LIFE


class ChannelPlace:
    """A message of ours in a channel, known only by ids: after a restart, or 14 minutes."""

    def __init__(
        self, client: discord.Client, *, channel_id: int, guild_id: int | None, message_id: int
    ) -> None:
        self._channel = client.get_partial_messageable(channel_id, guild_id=guild_id)
        self.message_id = message_id

    async def show(self, view: ui.LayoutView, files: Sequence[discord.File] = ()) -> None:
        """Replace what the message shows and what is attached. Raises MessageDeleted."""
        message = self._channel.get_partial_message(self.message_id)
        try:
            await message.edit(view=view, attachments=files, allowed_mentions=NO_MENTIONS)
        except discord.NotFound as exc:
            raise MessageDeleted from exc

    async def post(self, view: ui.LayoutView, files: Sequence[discord.File]) -> int:
        """Post the images as a new message."""
        posted = await self._channel.send(
            view=view, files=list(files), allowed_mentions=NO_MENTIONS
        )

        return posted.id

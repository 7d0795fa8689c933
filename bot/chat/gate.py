"""Who may ask for images here, now."""

from bot.chat import texts
from bot.chat.context import Interaction
from storage.store import VoteStore


class Barred(Exception):
    """The member may not do this here, now. The message is what they read."""


class Gate:
    """Refuses requests that moderators do not want. Votes are refused where they are recorded."""

    def __init__(self, store: VoteStore) -> None:
        self._store = store

    async def admit(self, interaction: Interaction) -> None:
        """Raises Barred for a member who may not ask, and StorageError."""
        ban = await self._store.moderation.ban_of(interaction.user.id, interaction.guild_id)
        if ban is not None:
            raise Barred(texts.banned(ban))

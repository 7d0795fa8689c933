"""The channel where moderators are told: their server's own, or else the operator's."""

from bot.chat.context import Interaction
from storage.store import VoteStore


async def channel_id(
    store: VoteStore, guild_id: int | None, *, operators_channel: int | None
) -> int | None:
    """Where the moderators of a server are told; None: nowhere.

    guild_id: None for what concerns no single server. operators_channel:
    OXHERD_MODERATORS_CHANNEL.
    """
    rules = await store.moderation.rules(guild_id)

    return rules.moderators_channel or operators_channel


def decides_for(interaction: Interaction) -> int | None:
    """The server whose images may be decided on here; None: those of every server.

    The operator's channel may get what concerns any server; another channel only its own.
    """
    if interaction.channel_id == interaction.client.context.operators_channel:
        return None

    return interaction.guild_id

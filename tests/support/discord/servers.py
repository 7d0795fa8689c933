"""A second server beside the one of a World, and forged presses in it."""

from dataclasses import dataclass
from typing import Any

import discord
from simcord import InteractionResult, interactions
from simcord.backend import serializers
from simcord.enums import ComponentType, InteractionType

from tests.support.discord.world import World


@dataclass(frozen=True, slots=True)
class Other:
    """A second server that the bot is in, with one member."""

    guild: Any
    channel: Any
    member: Any


def other_server(w: World) -> Other:
    """Make it. It is not served before `serve_both`."""
    guild = w.env.create_guild("another server")

    return Other(
        guild=guild,
        channel=guild.create_text_channel("elsewhere"),
        member=guild.add_member(w.env.create_user("somebody")),
    )


async def serve_both(w: World, other: Other) -> None:
    """Restart the bot, for both servers."""
    w.settings = w.settings.model_copy(update={"guilds": (w.guild.id, other.guild.id)})
    await w.restart()


async def pressed_in(
    other: Other, w: World, message: discord.Message, custom_id: str
) -> InteractionResult:
    """A press in the other server on a message that is not there, as only a forger could send."""
    backend = w.env.backend
    record, payload = interactions.base_payload(
        backend,
        type=InteractionType.MESSAGE_COMPONENT,
        channel_id=other.channel.id,
        guild_id=other.guild.id,
        user_id=other.member.id,
        data={"custom_id": custom_id, "component_type": ComponentType.BUTTON},
    )
    stored = backend.get_message(message.channel.id, message.id)
    payload["message"] = dict(serializers.message_payload(backend, stored))
    record.source_message_id = stored.id
    backend.emit("INTERACTION_CREATE", payload)
    await w.env.settle()

    return InteractionResult(w.env, record)

"""What Discord sends, as small as discord.py 2.7.1 can read it. Pure."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Payload = dict[str, Any]

APPLICATION_ID = 1_000_000_000_000_000_001
GUILD_ID = 1_000_000_000_000_000_002
CHANNEL_ID = 1_000_000_000_000_000_003
OWNER_ID = 1_000_000_000_000_000_004
COMMAND_ID = 1_000_000_000_000_000_005

# Of a bot token's shape: the application's id, a time stamp and a signature, none of them real.
_ID_PART = base64.b64encode(str(APPLICATION_ID).encode()).decode().rstrip("=")
TOKEN = f"{_ID_PART}.stub00.not-a-secret-not-a-secret-not"

EVERY_PERMISSION = str(2**47 - 1)
EPHEMERAL = 64
BUTTON = 2
SUBCOMMAND, SUBCOMMAND_GROUP = 1, 2
STRING, INTEGER, NUMBER = 3, 4, 10


@dataclass(slots=True, eq=False)
class Message:
    """A message the bot sent: what is on it now."""

    id: int
    content: str = ""
    flags: int = 0
    components: list[Payload] = field(default_factory=list)
    attachments: list[Payload] = field(default_factory=list)

    @property
    def buttons(self) -> list[str]:
        """The custom ids on it, from top to bottom."""
        return [part["custom_id"] for part in parts(self.components) if part.get("custom_id")]

    def payload(self) -> Payload:
        """As Discord sends it."""
        return {
            "id": str(self.id),
            "channel_id": str(CHANNEL_ID),
            "application_id": str(APPLICATION_ID),
            "webhook_id": str(APPLICATION_ID),
            "author": user(APPLICATION_ID, bot=True),
            "content": self.content,
            "timestamp": "2026-01-01T00:00:00.000000+00:00",
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": self.attachments,
            "embeds": [],
            "components": self.components,
            "pinned": False,
            "type": 0,
            "flags": self.flags,
        }


def parts(components: list[Payload]) -> Iterator[Payload]:
    """Every component, the ones within others too."""
    for component in components:
        yield component
        yield from parts(component.get("components", []))


def as_kept(components: list[Payload], attachments: list[Payload]) -> list[Payload]:
    """Components as Discord keeps them: each with an id, attachments with their addresses."""
    addresses = {f"attachment://{kept['filename']}": kept["url"] for kept in attachments}
    for number, part in enumerate(parts(components), start=1):
        part.setdefault("id", number)
        for item in part.get("items", []):
            address = addresses.get(item["media"]["url"], item["media"]["url"])
            item["media"] = {"url": address, "proxy_url": address, "width": 512, "height": 512}

    return components


def attachment(*, attachment_id: int, filename: str, size_bytes: int, alt: str | None) -> Payload:
    """A file on a message."""
    url = f"https://cdn.invalid/attachments/{CHANNEL_ID}/{attachment_id}/{filename}?ex=0&is=0&hm=0"

    return {
        "id": str(attachment_id),
        "filename": filename,
        "description": alt,
        "size": size_bytes,
        "url": url,
        "proxy_url": url,
        "content_type": "image/png",
    }


def user(user_id: int, *, bot: bool = False) -> Payload:
    """A person, or the bot."""
    return {
        "id": str(user_id),
        "username": f"user{user_id}",
        "discriminator": "0",
        "global_name": None,
        "avatar": None,
        "bot": bot,
        "flags": 0,
        "public_flags": 0,
    }


def member(user_id: int, *, bot: bool = False) -> Payload:
    """The same in the server."""
    return {
        "user": user(user_id, bot=bot),
        "roles": [],
        "nick": None,
        "joined_at": "2026-01-01T00:00:00.000000+00:00",
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "flags": 0,
        "permissions": EVERY_PERMISSION,
    }


def application() -> Payload:
    """The bot's application."""
    return {
        "id": str(APPLICATION_ID),
        "name": "oxherd",
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "flags": 0,
        "owner": user(OWNER_ID),
        "team": None,
    }


def channel() -> Payload:
    """The server's one text channel."""
    return {
        "id": str(CHANNEL_ID),
        "guild_id": str(GUILD_ID),
        "type": 0,
        "name": "images",
        "position": 0,
        "permission_overwrites": [],
        "parent_id": None,
        "topic": None,
        "nsfw": False,
        "rate_limit_per_user": 0,
        "last_message_id": None,
        "flags": 0,
    }


def guild() -> Payload:
    """The one server."""
    everyone = {
        "id": str(GUILD_ID),
        "name": "@everyone",
        "permissions": EVERY_PERMISSION,
        "position": 0,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }

    return {
        "id": str(GUILD_ID),
        "name": "the stub's server",
        "owner_id": str(OWNER_ID),
        "icon": None,
        "features": [],
        "emojis": [],
        "stickers": [],
        "roles": [everyone],
        "channels": [channel()],
        "threads": [],
        "members": [member(APPLICATION_ID, bot=True)],
        "member_count": 251,
        "presences": [],
        "voice_states": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
        "large": False,
        "unavailable": False,
        "joined_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "premium_progress_bar_enabled": False,
        "preferred_locale": "en-US",
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "afk_channel_id": None,
        "afk_timeout": 300,
        "application_id": None,
        "description": None,
        "banner": None,
        "splash": None,
        "discovery_splash": None,
        "vanity_url_code": None,
    }


def ready(gateway_url: str, shard: list[int]) -> Payload:
    """The answer to IDENTIFY."""
    return {
        "v": 10,
        "user": user(APPLICATION_ID, bot=True),
        "guilds": [{"id": str(GUILD_ID), "unavailable": True}],
        "session_id": "stub",
        "resume_gateway_url": gateway_url,
        "shard": shard,
        "application": {"id": str(APPLICATION_ID), "flags": 0},
    }


def command(name: str, options: dict[str, str | int | float]) -> Payload:
    """The data of a slash command somebody sent. name: after those of its groups, if it is in
    some."""
    kinds = {str: STRING, int: INTEGER, float: NUMBER}
    root, *path = name.split(" ")
    nested: list[Payload] = [
        {"name": option, "type": kinds[type(value)], "value": value}
        for option, value in options.items()
    ]
    for part in reversed(path):
        kind = SUBCOMMAND if part == path[-1] else SUBCOMMAND_GROUP
        nested = [{"name": part, "type": kind, "options": nested}]

    return {"id": str(COMMAND_ID), "name": root, "type": 1, "options": nested}


def interaction(
    *, interaction_id: int, token: str, user_id: int, data: Payload, message: Message | None = None
) -> Payload:
    """INTERACTION_CREATE: a slash command, or a press of a button on the message."""
    return {
        "id": str(interaction_id),
        "application_id": str(APPLICATION_ID),
        "type": 2 if message is None else 3,
        "token": token,
        "version": 1,
        "data": data,
        "guild_id": str(GUILD_ID),
        "guild": {"id": str(GUILD_ID), "locale": "en-US", "features": []},
        "channel_id": str(CHANNEL_ID),
        "channel": channel() | {"permissions": EVERY_PERMISSION},
        "member": member(user_id),
        "app_permissions": EVERY_PERMISSION,
        "locale": "en-US",
        "guild_locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": {"0": str(GUILD_ID)},
        "context": 0,
        "attachment_size_limit": 10 * 2**20,
        **({} if message is None else {"message": message.payload()}),
    }

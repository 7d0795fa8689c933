"""What members read where the moderators' rules keep them out. Pure."""

from collections.abc import Sequence

from bot.chat.languages.translation import _


def asking_needs_role(roles: Sequence[int]) -> str:
    return _("Here, only members with {roles} may ask for images, so nothing was started.").format(
        roles=roles_listed(roles)
    )


def voting_needs_role(roles: Sequence[int]) -> str:
    return _("Here, only members with {roles} may vote, so nothing was recorded.").format(
        roles=roles_listed(roles)
    )


def asking_elsewhere(channels: Sequence[int]) -> str:
    return _(
        "In this server, images are asked for in {channels} only, so nothing was started."
    ).format(channels=channels_listed(channels))


def voting_elsewhere(channels: Sequence[int]) -> str:
    return _("In this server, votes are taken in {channels} only, so nothing was recorded.").format(
        channels=channels_listed(channels)
    )


def roles_listed(roles: Sequence[int]) -> str:
    """Mentions notify nobody: they are off."""
    return _(" or ").join(f"<@&{role}>" for role in roles)


def channels_listed(channels: Sequence[int]) -> str:
    return _(" or ").join(f"<#{channel}>" for channel in channels)

"""What members read where the moderators' rules keep them out. Pure."""

from collections.abc import Sequence


def asking_needs_role(roles: Sequence[int]) -> str:
    return (
        f"Here, only members with {roles_listed(roles)} may ask for images, so nothing was started."
    )


def voting_needs_role(roles: Sequence[int]) -> str:
    return f"Here, only members with {roles_listed(roles)} may vote, so nothing was recorded."


def asking_elsewhere(channels: Sequence[int]) -> str:
    where = channels_listed(channels)

    return f"In this server, images are asked for {where} only, so nothing was started."


def voting_elsewhere(channels: Sequence[int]) -> str:
    where = channels_listed(channels)

    return f"In this server, votes are taken {where} only, so nothing was recorded."


def roles_listed(roles: Sequence[int]) -> str:
    """Empty for none. Mentions notify nobody: they are off."""
    return " or ".join(f"<@&{role}>" for role in roles)


def channels_listed(channels: Sequence[int]) -> str:
    """Empty for none."""
    return f"in {' or '.join(f'<#{channel}>' for channel in channels)}" if channels else ""

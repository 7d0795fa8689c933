"""What moderators do, as plain values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ActKind(StrEnum):
    """The acts of moderators, as the journal and the dataset's history name them."""

    BAN = "ban"
    UNBAN = "unban"
    DISCARD_VOTES = "discarding of votes"
    RESTORE_VOTES = "restoring of votes"
    REMOVE = "removal"
    RESTORE = "restoring"


class SetAside(StrEnum):
    """Why a vote does not count, though its voter did not take it back."""

    BANNED = "banned"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who orders an act, in which server, and why.

    guild_id: None for the operator on the bot's host, who acts on images of every server.
    moderator_id: None for the operator, and for the bot by itself.
    """

    guild_id: int | None
    moderator_id: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(Order):
    """One act in the journal.

    member_id: on whom. set_id: on which request, or an image of it. until: when it ends by itself;
    None: never. votes, images: how many were set aside, removed, or brought back.
    """

    act_id: int
    kind: ActKind
    member_id: int | None
    set_id: str | None
    until: datetime | None
    votes: int
    images: int
    acted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """Why a member may neither ask nor vote, and until when; None: for good."""

    reason: str
    until: datetime | None

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


class SetAside(StrEnum):
    """Why a vote does not count, though its voter did not take it back."""

    BANNED = "banned"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who orders an act, in which server, and why. moderator_id: None for the bot by itself, and
    for the operator on its host."""

    guild_id: int
    moderator_id: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(Order):
    """One act in the journal.

    member_id: on whom. until: when it ends by itself; None: never. votes: how many were set aside
    or brought back.
    """

    act_id: int
    kind: ActKind
    member_id: int | None
    until: datetime | None
    votes: int
    acted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """Why a member may neither ask nor vote, and until when; None: for good."""

    reason: str
    until: datetime | None

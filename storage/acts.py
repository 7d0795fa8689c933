"""What moderators do, and what they set, as plain values."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class ActKind(StrEnum):
    """The acts of moderators, as the journal and the dataset's history name them."""

    BAN = "ban"
    UNBAN = "unban"
    DISCARD_VOTES = "discarding of votes"
    RESTORE_VOTES = "restoring of votes"
    REMOVE = "removal"
    RESTORE = "restoring"
    PAUSE = "pause"
    RESUME = "resumption"
    LIMIT = "change of limits"
    CHANNEL = "choice of a channel for moderators"
    ACCESS = "change of who may ask and vote"
    REASONS = "change of the reasons to pick from"
    GUIDELINES = "change of the guidelines"
    CONSENT = "change of the text to agree to"
    WEEKLY = "choice of a channel for the best images"
    CANCEL = "cancelling of requests"
    KEEP = "keeping after a report"
    WARN = "warning"
    SET_ASIDE = "setting aside of a brigade"
    GOLD = "marking as gold"
    UNGOLD = "unmarking of gold"
    HASTE = "setting aside of hasty votes"
    ARENA = "opening of an arena"
    RESULT = "result of an arena"
    DEFAULT = "choice of the default model"


class SetAside(StrEnum):
    """Why a vote does not count, though its voter did not take it back.

    gold: in an arena only, whose result no estimate of voters makes better: its voter answers most
    gold images wrong.
    """

    BANNED = "banned"
    DISCARDED = "discarded"
    BRIGADE = "brigade"
    HASTY = "hasty"
    GOLD = "gold"


class Report(StrEnum):
    """What became of a member's report of a request."""

    NEW = "new"
    OPEN = "open"
    DECIDED = "decided"


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


class AlarmKind(StrEnum):
    """Why votes that come together are told to the moderators."""

    NEW = "new"
    AGREEING = "agreeing"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLimits:
    """How many accounts within a short time are an alarm: new ones, and such that agree. new_days:
    how old an account is at most that counts as new."""

    new_accounts: int = 10
    agreeing: int = 30
    new_days: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Accounts that voted within a short time on one image, or on images of one author.

    image_id, set_id: None for an alarm about an author, whose id is None for one about an image.
    rating: what accounts agree on. members: whose votes these are. votes: the journal's numbers of
    those that count now.
    """

    alarm_id: int
    kind: AlarmKind
    guild_id: int | None
    image_id: str | None
    set_id: str | None
    author_id: int | None
    rating: str | None
    members: Sequence[int]
    votes: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldImage:
    """An image that moderators marked, the right rating, and how many votes that count are so."""

    image_id: str
    set_id: str
    rating: str
    right: int
    wrong: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """Why a member may neither ask nor vote, and until when; None: for good."""

    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidelines:
    """What moderators say is good and bad in their server, with the ids of two example images.

    edition: whoever was shown an earlier one is shown this one too.
    """

    text: str
    good_image: str | None
    bad_image: str | None
    edition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRules:
    """What moderators have set for one server. None: there is no such limit.

    paused: no new requests. waiting: requests of the server that may wait. account_days,
    member_days: the least age of an account, and the least time in the server, to ask and to vote.
    moderators_channel: where acts, reports and alarms are told. weekly_channel: where the best
    images of each week are posted.
    asking_roles, asking_channels, voting_roles, voting_channels: who may ask and vote, and where;
    empty: everybody, everywhere. good_reasons, bad_reasons: what members may pick on their ballots;
    None: the usual ones, empty: nobody is asked why. rate_seconds, post_seconds: a vote that comes
    sooner after the image was shown, under /rate or in the channel, is set aside. default_model: by
    its name; None: the operator's. previous_model: the one before, to go back to; None: there is
    none.
    """

    paused: bool = False
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    votes_per_minute: int | None = None
    waiting: int | None = None
    account_days: int | None = None
    member_days: int | None = None
    moderators_channel: int | None = None
    weekly_channel: int | None = None
    asking_roles: Sequence[int] = ()
    asking_channels: Sequence[int] = ()
    voting_roles: Sequence[int] = ()
    voting_channels: Sequence[int] = ()
    good_reasons: Sequence[str] | None = None
    bad_reasons: Sequence[str] | None = None
    rate_seconds: float = 0.8
    post_seconds: float = 0.0
    default_model: str | None = None
    previous_model: str | None = None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The rules that `json.dumps(asdict(…))` wrote."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in json.loads(text).items()
        }

        return cls(**fields)

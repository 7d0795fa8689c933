"""Arenas, their pairs and the votes on these, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from storage.acts import Ban
from storage.vote import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArena:
    """What a moderator opens.

    plan: JSON, from which each pair's requests are made. asks: whether the prompts are those of
    requests in the channel. pairs, votes: it ends when it has so many pairs, and each has so many
    votes.
    """

    arena_id: str
    guild_id: int | None
    channel_id: int
    moderator_id: int | None
    models: Sequence[str]
    plan: Mapping[str, Any]
    asks: bool
    pairs: int
    votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena(NewArena):
    """One in the journal. stopped: by a moderator, before its rule was met."""

    opened_at: datetime
    closed_at: datetime | None
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPair:
    """One image of each of two models, which are not made yet: the ids of their sets, and the
    requests, as JSON. asker_id: whose prompt it is; 0: nobody's."""

    pair_id: str
    left_set: str
    right_set: str
    left: Mapping[str, Any]
    right: Mapping[str, Any]
    left_model: str
    right_model: str
    asker_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An image of a pair that is to be made. tries: how often that was begun."""

    set_id: str
    guild_id: int | None
    request: Mapping[str, Any]
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A pair that people may see, and nothing from which they could learn the models."""

    pair_id: str
    prompt: str
    left_image: str
    right_image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPost:
    """Where a pair was posted. pair: None if people may not see it any more."""

    channel_id: int
    guild_id: int | None
    message_id: int
    pair: Pair | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A pair of an arena that is over."""

    pair: Pair
    left_model: str
    right_model: str


class PairVoteKind(StrEnum):
    """What one press under a pair did."""

    RECORDED = "recorded"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"
    HASTY = "hasty"
    SKIPPED = "skipped"
    ANSWERED = "answered"
    UNKNOWN = "unknown"
    GONE = "gone"
    CLOSED = "closed"
    BANNED = "banned"

    @property
    def changed_something(self) -> bool:
        """Whether the dataset must be changed too."""
        return self in (PairVoteKind.RECORDED, PairVoteKind.REPLACED, PairVoteKind.HASTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVote:
    """The answer to a press. choice: what is recorded now, None for nothing that counts. seq: the
    number of the change in the journal that the press made, None if it made none."""

    kind: PairVoteKind
    seq: int | None = None
    choice: Choice | None = None
    ban: Ban | None = None
    first_haste: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A vote that counts, for statistics."""

    pair: str
    voter: int
    left_model: str
    right_model: str
    choice: Choice


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share, and between what the true one is, with 95 % confidence."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the votes of an arena say. votes: all; ties: those among them that prefer neither.

    win_rates: of each model, the best first, against the others, of votes that are no ties; none
    without such. left: how often the left image wins; None without such votes.
    """

    votes: int
    ties: int
    pairs: int
    voters: int
    win_rates: Sequence[tuple[str, Estimate]]
    left: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaState:
    """How far an arena is. made, left_out: pairs. enough: those with enough votes. votes: all that
    count. voters: who gave them. unreliable: voters whose votes do not count, because they answer
    most gold images wrong; nobody before it is closed."""

    arena: Arena
    made: int
    left_out: int
    enough: int
    votes: int
    voters: int
    unreliable: int

    @property
    def is_complete(self) -> bool:
        """Whether its rule is met."""
        return self.made + self.left_out == self.arena.pairs == self.enough + self.left_out

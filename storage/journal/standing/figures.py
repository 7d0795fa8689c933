"""What members and moderators are told about votes and images, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often votes are those of the majority of the other voters on the image. Images without
    other voters, or with a tie among them, are not compared."""

    compared: int
    agreed: int

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where nothing was compared."""
        return self.agreed / self.compared if self.compared else None


_LEAST_USE = 0.05  # less says hardly more than chance about an image
_LEAST_VOTES = 20  # fewer show nothing of a voter

CERTAIN = 0.95
"""The probability from which on a label is called certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Of a voter, as all votes make it probable: how often they call a good image good, and a bad
    one bad. votes: how many of theirs count."""

    good_as_good: float
    bad_as_bad: float
    votes: int

    @property
    def use(self) -> float:
        """How much a vote says: 1 for always right, 0 for chance, -1 for always wrong."""
        return self.good_as_good + self.bad_as_bad - 1

    @property
    def is_known(self) -> bool:
        """Whether there are enough votes to say so."""
        return self.votes >= _LEAST_VOTES

    @property
    def of_no_use(self) -> bool:
        """Whether the votes say nothing, or the contrary."""
        return self.is_known and self.use < _LEAST_USE


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far the votes of a server can be trusted. voters: those whose votes count, by their id.
    certain: how many images have a certain label."""

    voters: Mapping[int, Reliability]
    certain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedImage:
    """An image and the votes that others than its author gave it. request: JSON, as in `NewSet`."""

    image_id: str
    set_id: str
    slot: int
    author_id: int
    channel_id: int
    message_id: int | None
    request: Mapping[str, Any]
    good: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFigures:
    """One member in one server. streak: days in a row, in UTC, up to today or yesterday.
    reliability: None without votes. liked: their images that others like, the best first."""

    votes: int
    streak: int
    agreement: Agreement
    reliability: Reliability | None
    liked: Sequence[RankedImage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A member's place on the leaderboard.

    counting: how many votes count, which is what the places go by; compared with how many votes.
    """

    member_id: int
    counting: float
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Day:
    """The votes that count of one day, in UTC."""

    day: date
    good: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFigures:
    """All of one server. waiting: images with fewer votes than there should be, `raters`. certain:
    images with a certain label. of_no_use: voters whose votes say nothing. days: the last ones, the
    oldest first, also those without votes."""

    votes: int
    voters: int
    agreement: Agreement
    waiting: int
    raters: int
    certain: int
    of_no_use: int
    days: Sequence[Day]

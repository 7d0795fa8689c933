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
    """One member in one server. streak: days in a row, in UTC, up to today or yesterday. liked:
    their images that others like, the best first."""

    votes: int
    streak: int
    agreement: Agreement
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
    """All of one server. waiting: images with fewer votes than there should be, `raters`. days: the
    last ones, the oldest first, also those without votes."""

    votes: int
    voters: int
    agreement: Agreement
    waiting: int
    raters: int
    days: Sequence[Day]

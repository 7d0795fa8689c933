"""What people vote on and what became of a vote, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Rating(StrEnum):
    """The two buttons, as they are written in the dataset."""

    GOOD = "good"
    BAD = "bad"


class VoteKind(StrEnum):
    """What one press did to the state of (image, voter)."""

    RECORDED = "recorded"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"
    UNDONE = "undone"
    NOTHING_TO_UNDO = "nothing_to_undo"
    UNKNOWN_IMAGE = "unknown_image"
    REMOVED_IMAGE = "removed_image"
    WITHHELD_IMAGE = "withheld_image"

    @property
    def changed_something(self) -> bool:
        """Whether the dataset has to follow."""
        return self in (VoteKind.RECORDED, VoteKind.REPLACED, VoteKind.UNDONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteOutcome:
    """The answer to one press.

    `rating` is what is recorded now (None: nothing), `previous` what was recorded before.
    `set_id` and `slot` are None only for an image that the journal has never seen.
    """

    kind: VoteKind
    set_id: str | None = None
    slot: int | None = None
    rating: Rating | None = None
    previous: Rating | None = None


class SetState(StrEnum):
    """Where the request behind a set of images is; it waits until its images are made."""

    WAITING = "waiting"
    POSTED = "posted"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSet:
    """One request for images, as it was accepted."""

    set_id: str
    requester_id: int
    guild_id: int | None
    channel_id: int
    interaction_id: int
    request: Mapping[str, Any]
    """As JSON; storage looks inside only to write and to read the dataset's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """One image that was made for a set. `sha256` is the hex digest of `png`.

    Of one that is withheld there are no bytes any more: `png` is empty, and `sha256` says what they
    were. `unsafe_score` is from 0 to 1; None where no classifier looked. `withheld` says by whom.
    """

    image_id: str
    slot: int
    seed: int
    sha256: str
    png: bytes
    unsafe_score: float | None = None
    withheld: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """One image as the journal knows it."""

    image_id: str
    set_id: str
    slot: int
    seed: int
    sha256: str
    removed_at: datetime | None
    withheld: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSet(NewSet):
    """One request, where its message is now, and the images made for it so far."""

    state: SetState
    message_id: int | None
    provenance: Mapping[str, str] | None
    created_at: datetime
    posted_at: datetime | None
    images: Sequence[StoredImage]

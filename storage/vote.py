"""Sets of images, votes on them and the outcome of a vote, as plain values."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from storage.acts import Ban, ServerRules

log = logging.getLogger(__name__)


class Rating(StrEnum):
    """The two buttons, as they are written in the dataset."""

    GOOD = "good"
    BAD = "bad"


REASONS: Mapping[Rating, Sequence[str]] = {
    Rating.GOOD: ("fits the prompt", "beautiful"),
    Rating.BAD: ("not the prompt", "artefact", "ugly", "unsafe"),
}
"""Why a member may say that an image is good or bad, in members' and the dataset's words, unless
moderators have chosen others."""

NO_REASON = "not given"
BETWEEN_REASONS = ";"
"""What the dataset has in place of reasons, and between them. No reason is or has these."""


def reasons_offered(rules: ServerRules) -> Mapping[Rating, Sequence[str]]:
    """The reasons that members of the server pick from."""
    chosen = {Rating.GOOD: rules.good_reasons, Rating.BAD: rules.bad_reasons}

    return {
        rating: REASONS[rating] if listed is None else listed for rating, listed in chosen.items()
    }


class ShownIn(StrEnum):
    """Where the voter saw the image."""

    POST = "post"
    RATE = "rate"


class ShownKind(StrEnum):
    """Why /rate shows an image. Members cannot tell these apart.

    repeat: again, to learn whether a rater agrees with themselves. gold: moderators know the right
    answer.
    """

    NORMAL = "normal"
    REPEAT = "repeat"
    GOLD = "gold"


class Answer(StrEnum):
    """What became of an image that /rate showed. lost: its bytes were not there to be shown."""

    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"
    REPORTED = "reported"
    LOST = "lost"

    @property
    def rating(self) -> Rating | None:
        """The vote, if it is one."""
        return Rating(self) if self in (Answer.GOOD, Answer.BAD) else None


class Choice(StrEnum):
    """Which image of an arena's pair a member prefers, as it is written in the dataset."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"


class VoterIds(StrEnum):
    """What the dataset says of who voted: Discord's id, or a random number that only the journal
    can lead back to it."""

    DISCORD = "discord"
    PSEUDONYM = "pseudonym"


class VoteKind(StrEnum):
    """What one press of a button did."""

    RECORDED = "recorded"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"
    UNDONE = "undone"
    RESTORED = "restored"
    EXPLAINED = "explained"
    OUTDATED = "outdated"
    NOTHING_TO_UNDO = "nothing_to_undo"
    UNKNOWN_IMAGE = "unknown_image"
    REMOVED_IMAGE = "removed_image"
    WITHHELD_IMAGE = "withheld_image"
    TAKEN_OUT_IMAGE = "taken_out_image"
    BANNED_VOTER = "banned_voter"
    HASTY = "hasty"

    @property
    def changed_something(self) -> bool:
        """Whether the dataset must be changed too."""
        return self in (
            VoteKind.RECORDED,
            VoteKind.REPLACED,
            VoteKind.UNDONE,
            VoteKind.RESTORED,
            VoteKind.EXPLAINED,
            VoteKind.HASTY,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a member thinks of one image, and why. rating: None without a vote."""

    image_id: str
    slot: int
    rating: Rating | None
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """One member's votes on the images of a set, in the order of the images.

    offered: the reasons that they may pick. has_guidelines: whether their server has some. as_of:
    the number of the journal's newest change, so it tells which of two is the newer.
    """

    set_id: str
    voter_id: int
    request: Mapping[str, Any]
    marks: Sequence[Mark]
    offered: Mapping[Rating, Sequence[str]]
    has_guidelines: bool
    as_of: int

    def reasons_for(self, mark: Mark) -> Sequence[str]:
        """What can be picked for a vote: what is offered, and what it has already, which may have
        been offered earlier."""
        offered = () if mark.rating is None else self.offered[mark.rating]

        return tuple(dict.fromkeys((*offered, *mark.reasons)))


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteOutcome:
    """The answer to one press.

    `rating` is what is recorded now (None: nothing), `previous` what was recorded before, `ballot`
    all that is recorded now of this voter on the set. `set_id` and `slot` are None only for an
    image that the server of the press does not have, and for a banned voter; `ban` says until when
    and why. `ballot` is None for these two, and where no image of the set is shown any more.
    is_first: whether the voter had never voted on the image. first_haste: whether this is the first
    vote of theirs that is set aside because it came too soon.
    """

    kind: VoteKind
    set_id: str | None = None
    slot: int | None = None
    rating: Rating | None = None
    previous: Rating | None = None
    ban: Ban | None = None
    ballot: Ballot | None = None
    is_first: bool = False
    first_haste: bool = False

    @property
    def seq(self) -> int | None:
        """The number of the change in the journal that the press made; None if it made none."""
        return self.ballot.as_of if self.ballot and self.kind.changed_something else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An image that /rate shows to one person: a row of the journal's exposures.

    doubtful: as of a NewImage. has_guidelines: whether its server has some.
    """

    exposure_id: int
    kind: ShownKind
    image_id: str
    doubtful: bool
    set_id: str
    request: Mapping[str, Any]
    has_guidelines: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBefore:
    """A press on an image that /rate showed, and that was answered already.

    rating: what is recorded now of this person on the image.
    """

    answer: Answer
    rating: Rating | None


class SetState(StrEnum):
    """Where the request behind a set of images is; it waits until its images are made. Of one that
    is forgotten, nothing else is known. One for an arena is no member's: its image is only ever
    shown in a pair."""

    WAITING = "waiting"
    POSTED = "posted"
    FAILED = "failed"
    CANCELLED = "cancelled"
    FORGOTTEN = "forgotten"
    ARENA = "arena"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSet:
    """One request for images, as it was accepted."""

    set_id: str
    requester_id: int
    guild_id: int | None
    channel_id: int
    interaction_id: int
    request: Mapping[str, Any]
    """JSON; storage reads it only for the dataset's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """One image that was made for a set. `sha256` is the hex digest of `png`.

    png: empty for a withheld image, whose bytes are not kept. unsafe_score: from 0 to 1, None
    without a classifier. withheld: by whom, None for an image that is shown. doubtful: whether it
    is shown only to those who choose to look.
    """

    image_id: str
    slot: int
    seed: int
    sha256: str
    png: bytes
    unsafe_score: float | None = None
    withheld: str | None = None
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """One image in the journal. doubtful: as of a NewImage. taken_out: whether moderators have
    removed it."""

    image_id: str
    slot: int
    seed: int
    sha256: str
    withheld: str | None
    doubtful: bool
    taken_out: bool

    @property
    def is_shown(self) -> bool:
        """Whether people may see it."""
        return self.withheld is None and not self.taken_out


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSet(NewSet):
    """A request in the journal, with its message and the images made for it so far.

    tries: how often a worker began it; the bot was killed each time if it still waits.
    """

    state: SetState
    message_id: int | None
    provenance: Mapping[str, str] | None
    tries: int
    images: Sequence[StoredImage]


def is_elsewhere(guild_id: int | None, asked_from: int | None) -> bool:
    """Whether a set of the one server is not one of the other.

    None: not known, as after the journal was made anew from the dataset. Then it is of every one.
    """
    return None not in (guild_id, asked_from) and guild_id != asked_from


def log_press(seq: int | None, what: str) -> None:
    """Log what a press did, with the change that it made: commits and pushes name what they have.

    At debug, because there may be a hundred a second.
    """
    if seq is not None:
        log.debug("change %d: %s", seq, what, extra={"changes": [seq, seq]})

"""The custom ids of oxherd's buttons: all that a press after a restart brings along.

`oxherd1:<what>:<id>`: the prefix has the version of the format, and `<id>` is a shortuuid of 22
characters. Everything else is in the journal. Discord allows 100 characters.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from storage.vote import Rating

PREFIX = "oxherd"
_ID = r"(?P<id>[2-9A-HJ-NP-Za-km-z]{22})"  # shortuuid's alphabet: no 0 1 I O l
_RATING = r"(?P<rating>good|bad)"


class NotOurs(ValueError):
    """The text is not a custom id of this version of oxherd."""


@dataclass(frozen=True, slots=True)
class _OnVote:
    """A button or menu about one image and one rating of it."""

    image_id: str
    rating: Rating

    WHAT: ClassVar[str]
    PATTERN: ClassVar[re.Pattern[str]]

    def __str__(self) -> str:
        return f"oxherd1:{self.WHAT}:{self.image_id}:{self.rating}"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        match = _match(cls.PATTERN, custom_id)
        return cls(match["id"], Rating(match["rating"]))


class VoteId(_OnVote):
    """A vote button: this image, this rating."""

    WHAT = "vote"
    PATTERN = re.compile(rf"oxherd1:vote:{_ID}:{_RATING}")


class UndoId(_OnVote):
    """An Undo button on a ballot: this image, and the vote that the ballot shows."""

    WHAT = "undo"
    PATTERN = re.compile(rf"oxherd1:undo:{_ID}:{_RATING}")


class ReasonsId(_OnVote):
    """The reasons to pick on a ballot: for this image, and the vote that the ballot shows."""

    WHAT = "why"
    PATTERN = re.compile(rf"oxherd1:why:{_ID}:{_RATING}")


@dataclass(frozen=True, slots=True)
class _OnSet:
    """A button that does something with a whole request."""

    action: str
    set_id: str

    WHERE: ClassVar[str]
    PATTERN: ClassVar[re.Pattern[str]]

    def __str__(self) -> str:
        return f"oxherd1:{self.WHERE}{self.action}:{self.set_id}"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        match = _match(cls.PATTERN, custom_id)
        return cls(match["action"], match["id"])


class SetId(_OnSet):
    """A button about a whole request. action: again, edit, vary, details or cancel."""

    WHERE = ""
    PATTERN = re.compile(rf"oxherd1:(?P<action>again|edit|vary|details|cancel):{_ID}")


@dataclass(frozen=True, slots=True)
class _OfSet:
    """A menu or form about one set."""

    set_id: str

    WHAT: ClassVar[str]
    PATTERN: ClassVar[re.Pattern[str]]

    def __str__(self) -> str:
        return f"oxherd1:{self.WHAT}:{self.set_id}"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        return cls(_match(cls.PATTERN, custom_id)["id"])


class VaryId(_OfSet):
    """The menu in which a member chooses the image of a set that is to be varied."""

    WHAT = "vary-of"
    PATTERN = re.compile(rf"oxherd1:vary-of:{_ID}")


class EditFormId(_OfSet):
    """The form in which a member changes what was asked for."""

    WHAT = "edit-form"
    PATTERN = re.compile(rf"oxherd1:edit-form:{_ID}")


class ReviewId(_OnSet):
    """A button of a report in the moderators' channel. action: keep, remove, warn or ban."""

    WHERE = "review-"
    PATTERN = re.compile(rf"oxherd1:review-(?P<action>keep|remove|warn|ban):{_ID}")


@dataclass(frozen=True, slots=True)
class PrivacyId:
    """A button of /privacy. action: data or forget; then votes, everything or keep."""

    action: str

    PATTERN: ClassVar = re.compile(r"oxherd1:privacy:(?P<action>data|forget|votes|everything|keep)")

    def __str__(self) -> str:
        return f"oxherd1:privacy:{self.action}"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        return cls(_match(cls.PATTERN, custom_id)["action"])


@dataclass(frozen=True, slots=True)
class AgreeId:
    """The button under what has to be shown first: *I agree*, or *Go on*.

    version: of the text to agree to. edition: of the guidelines. 0: that is not shown. press: what
    to do then, the rest of a custom id of ours.
    """

    version: int
    edition: int
    press: str

    PATTERN: ClassVar = re.compile(
        r"oxherd1:agree:(?P<version>[0-9]{1,9}):(?P<edition>[0-9]{1,9}):(?P<press>[\w:-]{1,64})"
    )

    def __str__(self) -> str:
        return f"oxherd1:agree:{self.version}:{self.edition}:{self.press}"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        match = _match(cls.PATTERN, custom_id)
        return cls(int(match["version"]), int(match["edition"]), match["press"])


@dataclass(frozen=True, slots=True)
class GuidelinesId:
    """*Guidelines* on a ballot: those of the server where it is pressed."""

    PATTERN: ClassVar = re.compile(r"oxherd1:guidelines")

    def __str__(self) -> str:
        return "oxherd1:guidelines"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        _match(cls.PATTERN, custom_id)
        return cls()


@dataclass(frozen=True, slots=True)
class AlarmId:
    """The button of an alarm in the moderators' channel. alarm_id: the journal's number of it."""

    alarm_id: int

    PATTERN: ClassVar = re.compile(r"oxherd1:alarm:(?P<alarm>[1-9][0-9]{0,17})")

    def __str__(self) -> str:
        return f"oxherd1:alarm:{self.alarm_id}"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        return cls(int(_match(cls.PATTERN, custom_id)["alarm"]))


@dataclass(frozen=True, slots=True)
class RateId:
    """Begins, or goes on, with images that need votes, as /rate does."""

    PATTERN: ClassVar = re.compile(r"oxherd1:rate")

    def __str__(self) -> str:
        return "oxherd1:rate"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        _match(cls.PATTERN, custom_id)
        return cls()


@dataclass(frozen=True, slots=True)
class _OnPair:
    """A button under a pair of an arena. action: which image is preferred, or what else is done."""

    pair_id: str
    action: str

    WHAT: ClassVar[str]
    PATTERN: ClassVar[re.Pattern[str]]

    def __str__(self) -> str:
        return f"oxherd1:{self.WHAT}:{self.pair_id}:{self.action}"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        match = _match(cls.PATTERN, custom_id)
        return cls(match["id"], match["action"])


class PairId(_OnPair):
    """A button under a pair that was posted. action: left, tie or right."""

    WHAT = "pair"
    PATTERN = re.compile(rf"oxherd1:pair:{_ID}:(?P<action>left|tie|right)")


class RatedPairId(_OnPair):
    """A button about a pair that /rate shows. action: left, tie, right, skip or report; back, to be
    shown it again."""

    WHAT = "rated"
    PATTERN = re.compile(rf"oxherd1:rated:{_ID}:(?P<action>left|tie|right|skip|report|back)")


@dataclass(frozen=True, slots=True)
class ShownId:
    """A button under an image that /rate shows. action: good, bad, skip or report; exposure_id: the
    journal's number of this one showing to this one person."""

    action: str
    exposure_id: int

    PATTERN: ClassVar = re.compile(
        r"oxherd1:shown:(?P<exposure>[1-9][0-9]{0,17}):(?P<action>good|bad|skip|report)"
    )

    def __str__(self) -> str:
        return f"oxherd1:shown:{self.exposure_id}:{self.action}"

    @classmethod
    def parse(cls, custom_id: str) -> Self:
        """Raises NotOurs."""
        match = _match(cls.PATTERN, custom_id)
        return cls(match["action"], int(match["exposure"]))


KINDS = (
    VoteId,
    UndoId,
    ReasonsId,
    SetId,
    VaryId,
    EditFormId,
    PrivacyId,
    AgreeId,
    GuidelinesId,
    ReviewId,
    AlarmId,
    RateId,
    ShownId,
    PairId,
    RatedPairId,
)


def is_known(custom_id: str) -> bool:
    """Whether the id belongs to a button of this version."""
    return any(kind.PATTERN.fullmatch(custom_id) for kind in KINDS)


def is_edit_form(custom_id: str) -> bool:
    """Whether the id belongs to the form of Edit."""
    return EditFormId.PATTERN.fullmatch(custom_id) is not None


def _match(pattern: re.Pattern[str], custom_id: str) -> re.Match[str]:
    match = pattern.fullmatch(custom_id)
    if match is None:
        raise NotOurs(f"not a button of oxherd: {custom_id!r}")

    return match

"""What is known of a person, and what forgetting took out, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.acts import Guidelines


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentText:
    """What people of a server are asked to agree to."""

    version: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a person has to be shown before they ask or vote: one of the two, or both."""

    consent: ConsentText | None
    guidelines: Guidelines | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentVersion:
    """A text of a server, as the dataset's card names it. since: as `timestamp` writes it."""

    server: str
    version: int
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was taken out of the journal, and leaves the dataset with the next commit.

    votes: the person's own, and other people's on their images. images: whose bytes go.
    """

    votes: int
    requests: int
    images: Sequence[str]

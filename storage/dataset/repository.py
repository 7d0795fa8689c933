"""The seam to the versioned dataset. Synchronous, as the vendor is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a commit is to change. Paths are relative to the dataset, with `/`.

    `files` are written whole. `images` are put in place from a file elsewhere; they never
    change, so one that is in place already stays, and then its source need not exist.
    `removals` may name paths that are not there.
    """

    files: Mapping[str, bytes]
    images: Mapping[str, Path]
    removals: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """One entry of the history."""

    id: str
    at: datetime
    message: str


class DataRepository(Protocol):
    """A versioned dataset that has one owner.

    Every method raises a RepositoryError when the vendor fails. After one, close the
    repository and open it again: opening forgets what was applied but not committed.
    """

    def read(self, path: str) -> bytes | None:
        """The file as it was applied last, or None."""
        ...

    def apply(self, changes: Changes) -> None:
        """Put the changes in place for the next commit. Applying twice is applying once."""
        ...

    def commit(self, message: str) -> str | None:
        """Commit what was applied; the commit's id, or None when nothing differs from the
        last commit. A commit that landed is never reported as failed."""
        ...

    def log(self, limit: int) -> Sequence[CommitInfo]:
        """The newest commits, newest first."""
        ...

    def share(self, path: Path) -> str:
        """Make `path` a repository of its own that shows the last commit, for another process to
        push from while this one goes on; the commit's id. Costs the same however much there is."""
        ...

    def close(self) -> None:
        """Let go of the repository. Nothing applied is lost by it, or kept by it."""
        ...

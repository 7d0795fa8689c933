"""The seam to the versioned dataset. Synchronous, as the vendor is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a commit is to change. Paths are relative to the dataset, with `/`.

    files: contents, written as a whole. images: the file that each is copied or linked from;
    images never change, so one that is in place stays, and then its source need not exist.
    removals: may name paths that do not exist.
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

    Every method raises a RepositoryError when the vendor fails. After that, close the repository
    and open it again: opening discards what was applied but not committed.
    """

    def read(self, path: str) -> bytes | None:
        """The file's content as it was last applied, or None."""
        ...

    def holds(self, path: str) -> bool:
        """Whether the file is in place. One that was deleted is put back if the last commit has
        it."""
        ...

    def apply(self, changes: Changes) -> None:
        """Put the changes in place for the next commit. Idempotent."""
        ...

    def commit(self, message: str) -> str | None:
        """Commit what was applied; the commit's id, or None when nothing differs from the last
        commit. A commit that landed is never reported as failed."""
        ...

    def check(self) -> None:
        """Raise a RepositoryError if the dataset is gone. Cheap."""
        ...

    def mend(self, among: Iterable[str] | None = None) -> Sequence[str]:
        """Put back the tables that somebody else changed or deleted since they were committed, or
        those of them that are in `among`; their paths."""
        ...

    def found(self) -> str | None:
        """The id of the commit that was the newest when the repository was opened; None for a new
        one. Cheap."""
        ...

    def log(self, limit: int) -> Sequence[CommitInfo]:
        """The newest commits, newest first. The cost grows with the history, not with `limit`."""
        ...

    def share(self, path: Path) -> str:
        """Make `path` a repository that shows the last commit, from which a different process can
        push while this one continues; the commit's id. The cost is constant."""
        ...

    def close(self) -> None:
        """Close the repository."""
        ...

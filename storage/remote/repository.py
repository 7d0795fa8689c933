"""The seam to the Oxen server. Synchronous, as the vendor is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# How many commits are sent in parallel: each takes three requests, one after the other.
COMMITS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A branch that was fetched: its newest commit, how many commits it has, and the number of the
    newest change of the journal that they hold."""

    branch: str
    commit_id: str
    commits: int
    newest_seq: int


class RemoteRepository(Protocol):
    """One repository on an Oxen server.

    Every method raises a RemoteError, and may block for ever: Oxen's client has no time-out.
    """

    def push(self, path: Path, *, branch: str, commits_at_once: int = COMMITS_AT_ONCE) -> None:
        """Push the repository at `path` to the server's branch, made if absent.

        Commits that have arrived stay there if the push fails, and are not sent again.
        Raises RemoteMoved when the branch has a commit that the repository does not have.
        """
        ...

    def has_branch(self, branch: str) -> bool:
        """Whether the server has a branch of this name."""
        ...

    def delete_branch(self, branch: str) -> None:
        """Delete a branch of the server; none is fine. What it refers to stays on the server's
        disk."""
        ...

    def describe(self, branch: str) -> str:
        """What the server has, as a phrase for operators."""
        ...

    def fetch(self, path: Path, *, branch: str) -> Fetched | None:
        """Make `path` a repository that continues the server's branch: its history, its tables and
        its card, without image bytes. If the bot went on in a dated branch, that one is fetched.

        None when there is no such branch, or oxherd did not make it.
        """
        ...

"""Which branch of the remote continues the dataset. Pure.

When somebody else moves the bot's branch, the bot goes on in a branch with the date in its name.
People make branches with such names too, to keep a state.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchCommit:
    """A commit of a branch, who made it, and what it says."""

    id: str
    author: str
    message: str


def dated_branches(names: Iterable[str], *, branch: str) -> list[str]:
    """The names like `main-2026-05-04-2`, newest first."""
    # `main-2026-05-04-10` is newer than `main-2026-05-04-9`, and both than `main-2026-05-04`.
    found = [
        (match[1], int(match[2] or 0), name)
        for name in names
        if (match := re.fullmatch(rf"{re.escape(branch)}-(\d{{4}}-\d\d-\d\d)(?:-(\d+))?", name))
    ]

    return [name for _, _, name in sorted(found, reverse=True)]


def goes_on(dated: Sequence[BranchCommit], *, branch: Sequence[BranchCommit]) -> bool:
    """Whether the bot went on in the dated branch after somebody moved the set one.

    Both are histories, newest first; an empty one means that there is no such branch. The dated
    branch goes on if it has commits of its own and all of them are by whoever made those before.
    """
    if not branch:
        return True

    known = {commit.id for commit in branch}
    own = [commit for commit in dated if commit.id not in known]
    shared = [commit for commit in dated if commit.id in known] or dated[-1:]
    makers = {commit.author for commit in shared}

    return bool(own) and all(commit.author in makers for commit in own)

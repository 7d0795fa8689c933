"""An Oxen server that does as a test says, without a process and without Oxen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import RemoteUnavailable
from storage.processes.inline import InlineProcess
from storage.remote.repository import COMMITS_AT_ONCE, Fetched, RemoteRepository


@dataclass(slots=True)
class ScriptedRemote:
    """An Oxen server of which somebody says what it does."""

    branches: dict[str, int] = field(default_factory=dict)  # pushes taken, by branch
    failures: list[Exception] = field(default_factory=list)  # of the next pushes
    dataset: Mapping[str, bytes] = field(default_factory=dict)  # the files that `fetch` finds
    at_once: list[int] = field(default_factory=list)  # of each push, how many commits
    deleted: dict[str, frozenset[str]] = field(default_factory=dict)  # and the branches left then
    unreachable: bool = False  # for `fetch`
    closed: int = 0

    def push(self, path: Path, *, branch: str, commits_at_once: int = COMMITS_AT_ONCE) -> None:
        assert path.is_dir()
        self.at_once.append(commits_at_once)
        if self.failures:
            raise self.failures.pop(0)

        self.branches[branch] = self.branches.get(branch, 0) + 1

    def has_branch(self, branch: str) -> bool:
        return branch in self.branches

    def delete_branch(self, branch: str) -> None:
        self.branches.pop(branch, None)
        self.deleted[branch] = frozenset(self.branches)

    def describe(self, branch: str) -> str:
        return "answers"

    def fetch(self, path: Path, *, branch: str) -> Fetched | None:
        if self.unreachable:
            raise RemoteUnavailable.while_("fetching the dataset", reason="it is down")

        for name, content in self.dataset.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)

        return (
            Fetched(branch=branch, commit_id="0" * 32, commits=7, newest_seq=0)
            if self.dataset
            else None
        )

    def close(self) -> None:
        self.closed += 1

    def kill(self) -> None: ...


class ScriptedProcess(InlineProcess[RemoteRepository]):
    """Its process."""

    def __init__(self, remote: ScriptedRemote) -> None:
        super().__init__(remote, close=remote.close)
        self._remote = remote

    def kill(self) -> None:
        self._remote.kill()

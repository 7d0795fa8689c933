"""A DataRepository in memory, for tests and for the demo."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from storage.clock import utc_now
from storage.dataset.repository import Changes, CommitInfo
from storage.errors import RepositoryError


class MemoryRepository:
    """Keeps files and history for as long as the object lives, also through `close`.

    `files` is what the last commit holds.
    """

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        self.files: dict[str, bytes] = {}
        self._applied: dict[str, bytes] = {}
        self._history: list[CommitInfo] = []
        self._ids = itertools.count(1)
        self._now = now

    def read(self, path: str) -> bytes | None:
        return self._applied.get(path)

    def holds(self, path: str) -> bool:
        return path in self._applied

    def apply(self, changes: Changes) -> None:
        for path, source in changes.images.items():
            if path in self._applied:
                continue

            try:
                self._applied[path] = source.read_bytes()
            except FileNotFoundError as exc:
                raise RepositoryError.rejected(
                    "adding an image", reason=f"{source} is gone"
                ) from exc

        self._applied.update(changes.files)
        for path in changes.removals:
            self._applied.pop(path, None)

    def commit(self, message: str) -> str | None:
        if self._applied == self.files:
            return None

        self.files = dict(self._applied)
        commit_id = f"{next(self._ids):032x}"
        self._history.append(CommitInfo(id=commit_id, at=self._now(), message=message))

        return commit_id

    def check(self) -> None:
        """What is in memory cannot be taken away."""

    def mend(self, among: Iterable[str] | None = None) -> Sequence[str]:
        """What is in memory cannot be changed by somebody else."""
        return ()

    def found(self) -> str | None:
        """There is no opening: the newest commit."""
        return self._history[-1].id if self._history else None

    def log(self, limit: int) -> Sequence[CommitInfo]:
        return self._history[-limit:][::-1] if limit > 0 else []

    def share(self, path: Path) -> str:
        path.mkdir(parents=True)

        return self._history[-1].id if self._history else ""

    def close(self) -> None:
        self._applied = dict(self.files)

"""Notices when somebody else changes the files of `train` and `generations`."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

_FOLDERS = ("train", "generations")

_Stamp = tuple[int, int] | None
"""A file's time and size; None for no file."""


class Tables:
    """The tables of one open repository, known by their time and size.

    A change that leaves both as they were is not noticed, nor one that was made while the
    repository was closed and before the last commit.
    """

    def __init__(self, root: Path, *, committed_at: datetime) -> None:
        """committed_at: the time of the last commit. Tables that are newer count as changed."""
        self._root = root
        limit = committed_at.timestamp()
        self._known: dict[str, _Stamp] = {
            path: stamp
            for path in self._paths()
            if (stamp := self._stamp(path)) is not None and stamp[0] <= limit * 1e9
        }

    def note(self, path: str) -> None:
        """This table is as it should be."""
        if path.partition("/")[0] in _FOLDERS:
            self._known[path] = self._stamp(path)

    def changed(self, among: Iterable[str] | None = None) -> list[str]:
        """The tables that are new, deleted, or not what they were; only some of them if `among` is
        given."""
        paths = self._known.keys() | set(self._paths()) if among is None else among

        return sorted(path for path in paths if self._known.get(path) != self._stamp(path))

    def _paths(self) -> Iterator[str]:
        for folder in _FOLDERS:
            for path in (self._root / folder).glob("*/*"):
                yield path.relative_to(self._root).as_posix()

    def _stamp(self, path: str) -> _Stamp:
        try:
            found = (self._root / path).stat()
        except FileNotFoundError:
            return None

        return found.st_mtime_ns, found.st_size

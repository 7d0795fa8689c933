"""Notices when somebody else changes the files of `train`, `arena` and `generations`."""

import os
from collections.abc import Iterable
from pathlib import Path

_FOLDERS = ("train", "arena", "generations")

_Stamp = tuple[int, int] | None
"""A file's time and size; None for no file."""


class Tables:
    """The tables of one open repository, known by their time and size.

    A change that leaves both as they were is not noticed, nor one that was made while the
    repository was closed and before the last commit.
    """

    def __init__(self, root: Path, *, committed_at_ns: int) -> None:
        """committed_at_ns: the time of the last commit. Tables that are newer count as changed."""
        self._root = root
        self._known: dict[str, _Stamp] = {
            path: stamp for path, stamp in self._found().items() if stamp[0] <= committed_at_ns
        }

    def note(self, path: str) -> None:
        """This table is as it should be."""
        if path.partition("/")[0] in _FOLDERS:
            self._known[path] = self._stamp(path)

    def changed(self, among: Iterable[str] | None = None) -> list[str]:
        """The tables that are new, deleted, or not what they were; only some of them if `among` is
        given."""
        if among is None:
            found = self._found()
            return sorted(
                path
                for path in self._known.keys() | found.keys()
                if self._known.get(path) != found.get(path)
            )

        return sorted(path for path in among if self._known.get(path) != self._stamp(path))

    def _found(self) -> dict[str, tuple[int, int]]:
        """The tables that are there. Without pathlib, which takes 1 s for 30,000 of them."""
        found = {}
        for name in _FOLDERS:
            for folder in _entries(self._root / name):
                for table in _entries(folder) if folder.is_dir() else ():
                    stat = table.stat(follow_symlinks=False)
                    found[f"{name}/{folder.name}/{table.name}"] = (stat.st_mtime_ns, stat.st_size)

        return found

    def _stamp(self, path: str) -> _Stamp:
        try:
            found = (self._root / path).lstat()
        except FileNotFoundError:
            return None

        return found.st_mtime_ns, found.st_size


def _entries(folder: os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What is in the folder; nothing if there is none."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []

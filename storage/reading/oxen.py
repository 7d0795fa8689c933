"""The dataset's files as they were at one commit. One of the files that use Oxen's client.

The commit's tables are restored into a folder that goes away. It is a repository of its own that
shares what Oxen only ever adds to, as the pusher's is, so the bot may commit meanwhile.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import dropwhile, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from storage.dataset.card import journal_of
from storage.dataset.changes import open_for_reading
from storage.dataset.layout import CARD
from storage.dataset.oxen import moment
from storage.dataset.repository import CommitInfo
from storage.errors import ReadingError
from storage.folder import DataFolder
from storage.oxen_client import oxen

NEWEST = "HEAD"

_TABLES = ("train", "generations")
_ARENA = "arena"  # only since the first vote in one
_ONLY_ADDED_TO = ("tree", "versions", "history")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """One commit of a dataset. commit: None for a folder that has no history.

    tables: the folder with `train`, `arena`, `generations` and the card of that commit.
    """

    commit: str | None
    tables: Path
    _dataset: Path
    _repo: Any

    def find(self, path: str) -> Path | None:
        """The file of an image; None if this copy of the dataset does not have it.

        An image never changes, so it is read from the working tree. One that has left the dataset
        since is restored.
        """
        for place in (self._dataset / path, self.tables / path):
            if place.is_file() and not place.is_symlink():
                return place

        if self._repo is None:
            return None

        with suppress(ValueError):  # neither does the commit
            self._repo.restore(path, source=self.commit)

        restored = self.tables / path

        return restored if restored.is_file() else None

    def history(self, limit: int) -> Sequence[CommitInfo]:
        """The newest commits up to this one, newest first; none for a folder without history."""
        if self._repo is None:
            return []

        with suppress(ValueError):  # a copy without its whole history
            commits = dropwhile(lambda commit: commit.id != self.commit, self._repo.log())

            return [
                CommitInfo(
                    id=str(commit.id), at=moment(str(commit.timestamp)), message=commit.message
                )
                for commit in islice(commits, limit)
            ]

        return []

    def card(self) -> str:
        """The dataset's card."""
        try:
            return (self.tables / CARD).read_text(encoding="utf-8")
        except OSError:
            return ""


@contextmanager
def checked_out(dataset: Path, revision: str | None = None) -> Iterator[Checkout]:
    """The dataset at a commit, by default the newest. revision: a commit's id or its beginning, or
    HEAD for the newest.

    Raises a ReadingError for a folder that is no dataset, and for a commit that it does not have.
    """
    dataset = dataset.absolute()
    if not any((dataset / name).is_dir() for name in _TABLES):
        raise ReadingError.no_dataset(dataset)

    if not (dataset / ".oxen").is_dir():
        if revision is not None:
            raise ReadingError.no_history(dataset)

        yield Checkout(commit=None, tables=dataset, _dataset=dataset, _repo=None)
        return

    with TemporaryDirectory(prefix="oxherd-reading-") as folder:
        os.environ["OXEN_CONFIG_DIR"] = f"{folder}/config"
        tables = Path(folder) / "tables"
        repo = _shared(dataset, tables)
        is_newest = revision is None or revision == NEWEST
        commit = _newest(dataset, repo) if is_newest else _commit(dataset, str(revision))
        for name in (CARD, *_TABLES):
            try:
                repo.restore(name, source=commit)
            except ValueError as exc:
                raise ReadingError.incomplete(dataset, commit=commit, reason=str(exc)) from exc

        with suppress(ValueError):
            repo.restore(_ARENA, source=commit)

        yield Checkout(commit=commit, tables=tables, _dataset=dataset, _repo=repo)


def _shared(dataset: Path, path: Path) -> Any:
    ours, theirs = dataset / ".oxen", path / ".oxen"
    theirs.mkdir(parents=True)
    for name in _ONLY_ADDED_TO:
        (theirs / name).symlink_to(ours / name)

    for name in ("HEAD", "config.toml"):
        shutil.copyfile(ours / name, theirs / name)

    # A bot may change these while they are copied. Only a dataset without a journal beside it is
    # asked for its branch.
    shutil.copytree(ours / "refs", theirs / "refs", ignore=shutil.ignore_patterns("LOCK"))

    return oxen.Repo(str(path))


def _newest(dataset: Path, repo: Any) -> str:
    """The newest commit: what the journal beside the dataset says, else the branch."""
    journal = DataFolder(dataset.parent).journal
    card = dataset / CARD
    if journal.is_file() and card.is_file():
        with suppress(sqlite3.Error), open_for_reading(journal) as connection:
            journal_id, commit = connection.execute(
                "SELECT journal_id, commit_id FROM watermark"
            ).fetchone()
            if commit and journal_id == journal_of(card.read_text(encoding="utf-8")):
                return str(commit)

    branch = repo.current_branch
    if branch is None:
        raise ReadingError.no_branch(dataset)

    return str(branch.commit_id)


def _commit(dataset: Path, revision: str) -> str:
    """The commit whose id begins so."""
    with closing(os.scandir(dataset / ".oxen" / "history")) as entries:
        found = sorted(entry.name for entry in entries if entry.name.startswith(revision))

    if len(found) != 1 or not revision:
        raise ReadingError.no_commit(dataset, revision=revision, found=found)

    return found[0]

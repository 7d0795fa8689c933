"""The dataset in a local Oxen repository. One of the files that use Oxen's client.

oxen keeps the GIL during every call and allows one process per repository, so this runs in a
process of its own (`writer_process`). Commits survive `kill -9` of that process and, by
`last_commit`, a power cut.
"""

import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Self

from storage.dataset.card import FOLDER_CARDS, CardFacts, journal_of, render
from storage.dataset.last_commit import LastCommit
from storage.dataset.layout import CARD
from storage.dataset.oxen_errors import vendor_errors
from storage.dataset.repository import Changes, CommitInfo
from storage.dataset.tables import Tables
from storage.errors import RepositoryError, RepositoryForeign
from storage.files import make_folder, replace_durably, sync, write_all_durably
from storage.oxen_client import oxen
from storage.people import ConsentVersion

log = logging.getLogger(__name__)

# Oxen stores a folder's list of entries in pieces of about this many, and rewrites a piece when an
# entry in it changes: some 270 bytes per entry. Its default of 10,000 makes commits grow with the
# dataset. Measured with one vote per commit, in KB of lists at 1,000 and at 20,000 votes: 38 and
# 78; with 16: 18 and 23.
_ENTRIES_A_NODE = 16

# Files of one folder are staged together from this number on: every call of `add` and `rm` opens
# Oxen's databases again. Measured in a folder of 1,200 images, in ms of processor time: 1,880 for
# 100 new ones one by one, 440 together; 8,700 for removing 580 one by one, 420 together.
_STAGED_TOGETHER = 3

# Oxen's list of files that are not to be added. It exists only while files are staged together.
_IGNORED = ".oxenignore"

_CARD_COMMIT = "dataset card"

# What `rm` says of a path that is not in the last commit.
_NOT_COMMITTED = ("must be committed", "not found in tree")


@dataclass(frozen=True, slots=True, kw_only=True)
class OxenSettings:
    """Where the repository is and who its commits are by. create: whether to make it if absent."""

    path: Path
    config_dir: Path
    journal_id: str
    user_name: str = "oxherd"
    user_email: str = "oxherd@localhost"
    card: CardFacts = field(default_factory=CardFacts)
    consents: Sequence[ConsentVersion] = ()
    create: bool = True


class OxenRepository:
    """One open Oxen repository that oxherd made."""

    def __init__(self, repo: Any, *, path: Path, head: str) -> None:
        """head: the newest commit's id."""
        self._repo = repo
        self._path = path
        self._inode = (path / ".oxen").stat().st_ino
        self._tables = Tables(path, committed_at_ns=_committed_at_ns(path, head))
        self._listed: dict[PurePosixPath, set[str]] = {}  # what was in a folder after a change
        self._added: set[str] = set()  # since the last commit
        self._part = path / ".oxen" / "oxherd.part"  # outside the working tree: never committed
        self._last_commit = LastCommit(path / ".oxen")
        self._head = self._found = head

    @classmethod
    def open(cls, settings: OxenSettings) -> Self:
        """Open the repository, made with its card if absent, with nothing staged.

        Raises RepositoryForeign, RepositoryInUse, or a RepositoryError for other reasons.
        """
        path = settings.path.absolute()
        with vendor_errors(path, doing="opening it"):
            settings.config_dir.mkdir(parents=True, exist_ok=True)
            os.environ["OXEN_CONFIG_DIR"] = str(settings.config_dir)
            oxen.user.config_user(settings.user_name, settings.user_email)

            text = render(settings.card, journal_id=settings.journal_id, consents=settings.consents)
            if not path.exists() or not any(path.iterdir()):
                if not settings.create:
                    raise RepositoryError.gone(path)

                _create(path, text=text)

            if not (path / ".oxen").is_dir():
                raise RepositoryForeign.at(path, found="it is not empty and has no .oxen folder")

            repo = oxen.Repo(str(path))
            taken_back = LastCommit(path / ".oxen").take_back(repo)
            if taken_back is not None:
                log.warning("commit %s was interrupted: it is taken back", taken_back)

            head = _head(repo)  # the first call that fails if a different process has the lock
            _refuse_foreign(path, repo, journal_id=settings.journal_id)
            # What a killed process had staged is staged again from the journal. Oxen itself cannot
            # open this database if it was killed while removing it after a commit.
            shutil.rmtree(path / ".oxen" / "staged", ignore_errors=True)
            (path / _IGNORED).unlink(missing_ok=True)

        repository = cls(repo, path=path, head=head)
        # Oxen compares them with the last commit, which may lack what the working tree has.
        cards = {name: content.encode() for name, content in {CARD: text, **FOLDER_CARDS}.items()}
        repository.apply(Changes(files=cards, images={}, removals=()))
        repository.commit(_CARD_COMMIT)

        return repository

    def read(self, path: str) -> bytes | None:
        try:
            return (self._path / path).read_bytes()
        except FileNotFoundError:
            return None

    def holds(self, path: str) -> bool:
        target = self._path / path
        if not target.exists():
            with suppress(ValueError):  # the last commit does not have it either
                self._repo.restore(path)

        return target.exists()

    def apply(self, changes: Changes) -> None:
        self.check()
        with vendor_errors(self._path, doing="adding files"):
            self._list(changes)
            for path, source in changes.images.items():
                self._place(path, source)

            for folder in {(self._path / path).parent for path in changes.images}:
                sync(folder)  # the spool deletes its copies after the commit

            files = {self._path / path: content for path, content in changes.files.items()}
            write_all_durably(files, part=self._part)
            for path in changes.files:
                self._tables.note(path)

            self._stage([*changes.images, *changes.files])
            self._remove(changes.removals)
            paths = [*changes.images, *changes.files, *changes.removals]
            for touched in {PurePosixPath(path).parent for path in paths}:
                if (self._path / touched).is_dir():
                    self._listed[touched] = self._names(touched)

    def commit(self, message: str) -> str | None:
        with (
            vendor_errors(self._path, doing="committing"),
            self._last_commit.being_made(parent=self._head),
        ):
            landed = self._landed(message)
            if landed is not None:
                self._last_commit.sync(landed)
                self._head = landed

            self._added.clear()

            return landed

    def check(self) -> None:
        try:
            found = (self._path / ".oxen").stat().st_ino
        except FileNotFoundError:
            found = None

        if found != self._inode:
            raise RepositoryError.gone(self._path)

    def mend(self, among: Iterable[str] | None = None) -> Sequence[str]:
        self.check()
        put_back = []
        with vendor_errors(self._path, doing="looking for changed tables"):
            for path in self._tables.changed(among):
                before = self.read(path)
                with suppress(ValueError):  # the last commit does not have it
                    self._repo.restore(path)

                if self.read(path) != before:
                    put_back.append(path)

                self._tables.note(path)

        return put_back

    def found(self) -> str | None:
        return self._found

    def log(self, limit: int) -> Sequence[CommitInfo]:
        with vendor_errors(self._path, doing="reading the history"):
            return [_commit_info(commit) for commit in self._repo.log()[:limit]]

    def share(self, path: Path) -> str:
        # Shared is what Oxen only ever adds to: file contents, the tree (LMDB, which processes may
        # share) and each commit's list of folders. Copied is what Oxen changes: this process holds
        # the lock of `refs`.
        with vendor_errors(self._path, doing="sharing it"):
            ours, theirs = self._path / ".oxen", path / ".oxen"
            theirs.mkdir(parents=True)
            for name in ("tree", "versions", "history"):
                (theirs / name).symlink_to(ours / name)

            for name in ("HEAD", "config.toml"):
                shutil.copyfile(ours / name, theirs / name)

            shutil.copytree(ours / "refs", theirs / "refs")

        return self._head

    def close(self) -> None:
        self._repo = None

    def _landed(self, message: str) -> str | None:
        """The new commit's id; None if nothing differs from the last one."""
        try:
            return str(self._repo.commit(message).id)
        except ValueError as exc:
            if "No changes to commit" in str(exc):
                return None

            # It may raise after the commit landed: check, so that nobody commits again.
            head = _head(self._repo)
            if head == self._head:
                raise

            return head

    def _place(self, path: str, source: Path) -> None:
        target = self._path / path
        if target.exists():
            return

        make_folder(target.parent)
        try:
            target.hardlink_to(source)  # no second copy, and as durable as the spool's
        except FileNotFoundError as exc:
            raise RepositoryError.rejected(
                "adding an image",
                reason=f"{source} is gone, and {target} never arrived; restore one from a backup",
            ) from exc
        except OSError:  # a different file system, or one without links
            shutil.copyfile(source, self._part)
            replace_durably(self._part, target)

    def _list(self, changes: Changes) -> None:
        """Look at the folders where many images come or go, and put back what somebody else
        deleted there: files that are staged together are compared with that list."""
        tables = {PurePosixPath(path).parent for path in changes.files}
        for folder, members in _by_folder([*changes.images, *changes.removals]).items():
            if len(members) >= _STAGED_TOGETHER and not {folder} & (self._listed.keys() | tables):
                with suppress(ValueError):  # the last commit has no such folder
                    self._repo.restore(str(folder))

                if (self._path / folder).is_dir():
                    self._listed[folder] = self._names(folder)

    def _stage(self, paths: Sequence[str]) -> None:
        self._added.update(paths)
        for folder, members in _by_folder(paths).items():
            if len(members) >= _STAGED_TOGETHER and folder in self._listed:
                self._stage_together(folder, added=members)
            else:
                for path in members:
                    self._repo.add(str(self._path / path))

    def _remove(self, paths: Sequence[str]) -> None:
        for folder, members in _by_folder(paths).items():
            together = [path for path in members if path not in self._added]
            if len(together) >= _STAGED_TOGETHER and folder in self._listed:
                self._stage_together(folder, removed=together)
                members = [path for path in members if path in self._added]

            for path in members:
                self._remove_one(path)

        for path in paths:
            self._tables.note(path)

    def _stage_together(
        self, folder: PurePosixPath, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> None:
        """Stage these files of the folder and no others: Oxen would compare each of the others with
        the last commit, and add what somebody else put there. It would also remove what somebody
        else deleted, so that is put back first."""
        for name in self._listed[folder] - self._names(folder):
            self.holds(str(folder / name))

        for path in removed:
            (self._path / path).unlink(missing_ok=True)

        ignored = self._path / _IGNORED
        only = ["*", "!*/", *(f"!/{path}" for path in added)]
        ignored.write_text("\n".join(only), encoding="utf-8")
        try:
            self._repo.add(str(self._path / folder))
        finally:
            ignored.unlink()

    def _names(self, folder: PurePosixPath) -> set[str]:
        return {path.name for path in (self._path / folder).iterdir()}

    def _remove_one(self, path: str) -> None:
        try:
            self._repo.rm(path, force=True)
        except ValueError as exc:
            if not any(mark in str(exc) for mark in _NOT_COMMITTED):
                raise

            self._repo.restore(path, staged=True)

        (self._path / path).unlink(missing_ok=True)


def _create(path: Path, *, text: str) -> None:
    """Make the repository beside `path`, and rename it when it is complete."""
    new = path.with_name(f"{path.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    repo = oxen.Repo(str(new))
    repo.init()
    list_finely(new)
    repo = oxen.Repo(str(new))
    for name, content in {CARD: text, **FOLDER_CARDS}.items():
        make_folder((new / name).parent)
        (new / name).write_text(content, encoding="utf-8")
        repo.add(str(new / name))

    repo.commit(_CARD_COMMIT)
    del repo  # Oxen remembers paths, so nothing may be open during the rename
    replace_durably(new, path)


def _by_folder(paths: Iterable[str]) -> Mapping[PurePosixPath, list[str]]:
    by_folder = defaultdict[PurePosixPath, list[str]](list)
    for path in paths:
        by_folder[PurePosixPath(path).parent].append(path)

    return by_folder


def list_finely(path: Path) -> None:
    """Make the new repository store its folders' lists in small pieces."""
    config = path / ".oxen" / "config.toml"
    lines = config.read_text(encoding="utf-8").splitlines()
    config.write_text(
        "\n".join(
            f"vnode_size = {_ENTRIES_A_NODE}" if line.startswith("vnode_size") else line
            for line in lines
        )
        + "\n",
        encoding="utf-8",
    )


def _head(repo: Any) -> str:
    """The newest commit's id. Oxen's `log` has it too, after 20 µs for each commit in it."""
    branch = repo.current_branch

    return str(repo.log()[0].id if branch is None else branch.commit_id)


def _committed_at_ns(path: Path, commit_id: str) -> int:
    """When Oxen made this commit's folder, which it does last."""
    return (path / ".oxen" / "history" / commit_id).stat().st_mtime_ns


def _refuse_foreign(path: Path, repo: Any, *, journal_id: str) -> None:
    card = path / CARD
    if not card.exists() or not card.stat().st_size:
        with suppress(ValueError):  # the last commit does not have it either
            repo.restore(CARD)

    text = card.read_text(encoding="utf-8") if card.exists() else ""
    found = journal_of(text)
    if found == journal_id:
        return

    if found is not None:
        raise RepositoryForeign.of_another_journal(path)

    if text or any(commit.message != _CARD_COMMIT for commit in repo.log()):
        raise RepositoryForeign.at(path, found=f"its {CARD} does not carry oxherd's mark")


def _commit_info(commit: Any) -> CommitInfo:
    return CommitInfo(id=str(commit.id), at=moment(str(commit.timestamp)), message=commit.message)


def moment(text: str) -> datetime:
    """The time that Oxen writes like `2026-11-23 7:25:37.280482962 +00:00:00`, with hours of one
    digit, nanoseconds, and seconds in the offset.
    """
    day, clock, offset = text.split(" ")
    seconds, _, fraction = clock.partition(".")

    return datetime.fromisoformat(f"{day}T{seconds:0>8}.{fraction[:6]:0<6}{offset[:6]}")

"""Makes Oxen's commits survive a power cut.

Oxen syncs contents and the tree, but not what a commit writes last: the list of its folders, and
where the branch is. A branch that is on the disk without that list has, for Oxen, a commit without
any folder, and the next commit would drop every file that it does not change. So both are synced
after each commit. A note says that this is not done yet; a commit that a note is found with is
taken back, and made again from the journal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.files import sync, write_durably


class LastCommit:
    """The newest commit of one repository, whole or taken back."""

    def __init__(self, oxen: Path) -> None:
        """oxen: Oxen's folder in the repository."""
        self._oxen = oxen
        self._note = oxen / "oxherd.commit"
        self._head = oxen / "HEAD"  # a branch's name, or a commit's id

    @contextmanager
    def being_made(self, *, parent: str) -> Iterator[None]:
        """Have what Oxen commits in the block on the disk when it ends, or taken back by the next
        `take_back`. parent: the newest commit before."""
        write_durably(self._note, f"{self._head.read_text()} {parent}".encode())
        yield
        self._forget()

    def sync(self, commit_id: str) -> None:
        """Make durable what Oxen does not, for this commit."""
        folders = self._oxen / "history" / commit_id / "dir_hashes"
        self._sync_logs(folders)
        sync(folders)
        self._sync_logs(self._oxen / "refs")

    def take_back(self, repo: Any) -> str | None:
        """Move the branch back to before a commit that may not be whole; that commit's id, None if
        there was none. A crash in here does no harm. Commits of somebody else's stay."""
        try:
            branch, parent = self._note.read_text().split()
        except FileNotFoundError:
            return None

        taken_back = None
        if repo.branch_exists(branch):
            newest = repo.log()[0]
            if self._head.read_text() == branch and parent not in newest.parent_ids:
                self._forget()
                return None

            # Oxen deletes a branch that it is not on, if HEAD has all of it.
            taken_back = str(newest.id)
            write_durably(self._head, taken_back.encode())
            repo.branch(branch, delete=True)
            self._sync_logs(self._oxen / "refs")

        write_durably(self._head, parent.encode())
        repo.checkout(branch, create=True)
        self._sync_logs(self._oxen / "refs")
        self._forget()

        return taken_back

    def _sync_logs(self, database: Path) -> None:
        """RocksDB syncs its other files itself."""
        for log in database.glob("*.log"):
            sync(log)

    def _forget(self) -> None:
        self._note.unlink()
        sync(self._note.parent)

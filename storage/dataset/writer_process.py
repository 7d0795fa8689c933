"""The writer in a process of its own: the only one that has the dataset open."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from storage.dataset.card import CardFacts
from storage.dataset.changes import BATCH_CHANGES, open_for_reading
from storage.dataset.repository import CommitInfo, DataRepository
from storage.dataset.writer import Committed, Writer
from storage.errors import RepositoryInUse, RepositoryRejected, RepositoryUnavailable
from storage.folder import DataFolder
from storage.journal.spool import Spool
from storage.processes.child import ChildProcess, Failure

# The last writer's process may need a moment to be gone after it was killed.
_LOCK_PATIENCE_S = 5.0
_OPENING_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySettings:
    """A local Oxen repository in the data folder: who commits, and what its card says."""

    user_name: str = "oxherd"
    user_email: str = "oxherd@localhost"
    card: CardFacts = field(default_factory=CardFacts)


class WriterProcess:
    """A Writer whose every call is answered by the process, for `timeout_s` at most.

    Raises what the Writer raises, or RepositoryUnavailable when the process is gone or silent.
    """

    def __init__(self, process: ChildProcess, *, timeout_s: float) -> None:
        self._process = process
        self._timeout_s = timeout_s
        self._opened = False

    @classmethod
    def start(cls, folder: DataFolder, settings: RepositorySettings, *, timeout_s: float) -> Self:
        """Start the process, which then opens the repository."""
        process = ChildProcess.start(
            partial(open_writer, folder, settings),
            name="writer",
            log_path=folder.writer_log,
            failure=Failure(
                gone=RepositoryUnavailable.while_, unexpected=RepositoryRejected.while_
            ),
        )

        return cls(process, timeout_s=timeout_s)

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait_until_open(self) -> None:
        if not self._opened:
            self._process.wait_until_open(timeout_s=_OPENING_TIMEOUT_S)
            self._opened = True

    def knows(self, commit_id: str) -> bool:
        return bool(self._process.call("knows", timeout_s=self._timeout_s, commit_id=commit_id))

    def commit_pending(self, *, after_seq: int, limit: int = BATCH_CHANGES) -> Committed | None:
        committed: Committed | None = self._process.call(
            "commit_pending", timeout_s=self._timeout_s, after_seq=after_seq, limit=limit
        )

        return committed

    def snapshot(self) -> str | None:
        commit_id: str | None = self._process.call("snapshot", timeout_s=self._timeout_s)

        return commit_id

    def share(self, path: Path) -> str:
        return str(self._process.call("share", timeout_s=self._timeout_s, path=path))

    def log(self, limit: int) -> Sequence[CommitInfo]:
        commits: Sequence[CommitInfo] = self._process.call(
            "log", timeout_s=self._timeout_s, limit=limit
        )

        return commits

    def close(self) -> None:
        """Let the process end by itself, or kill it if it does not within a second."""
        self._process.close()

    def kill(self) -> None:
        """End the process now, from any thread: the call that waits for it raises. What it was
        doing can be done again."""
        self._process.kill()


def open_writer(folder: DataFolder, settings: RepositorySettings) -> Writer:
    """A Writer on the real repository, in this process."""
    return Writer(
        _open_patiently(folder, settings), journal=folder.journal, spool=Spool(folder.spool)
    )


def _open_patiently(folder: DataFolder, settings: RepositorySettings) -> DataRepository:
    from storage.dataset.oxen import OxenRepository, OxenSettings

    # Imported here, so that the parent, which imports this module too, never loads oxen.
    with open_for_reading(folder.journal) as journal:
        (journal_id,) = journal.execute("SELECT journal_id FROM watermark").fetchone()

    oxen_settings = OxenSettings(
        path=folder.dataset,
        config_dir=folder.oxen_config,
        journal_id=journal_id,
        user_name=settings.user_name,
        user_email=settings.user_email,
        card=settings.card,
    )
    give_up_at = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            return OxenRepository.open(oxen_settings)
        except RepositoryInUse:
            if time.monotonic() > give_up_at:
                raise

            time.sleep(0.1)

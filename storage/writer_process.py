"""The writer in a process of its own: both ends of the pipe.

Oxen keeps the GIL and may hang, so its owner must be another process, and killable. A process
that dies, hangs or fails is thrown away; whoever needs a writer starts another.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Self

from storage.card import CardFacts
from storage.errors import RepositoryInUse, RepositoryRejected, RepositoryUnavailable, StorageError
from storage.folder import DataFolder
from storage.pending import BATCH_CHANGES, open_for_reading
from storage.repository import CommitInfo, DataRepository
from storage.spool import Spool
from storage.writer import Committed, Writer

log = logging.getLogger(__name__)

# The last writer's process may need a moment to be gone after it was killed.
_LOCK_PATIENCE_S = 5.0
_OPENING_TIMEOUT_S = 60.0
_LOG_LIMIT_BYTES = 4 * 1024 * 1024
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySettings:
    """A local Oxen repository in the data folder: who commits, and what its card says."""

    user_name: str = "oxherd"
    user_email: str = "oxherd@localhost"
    card: CardFacts = field(default_factory=CardFacts)


class WriterProcess:
    """The parent's end: a Writer whose every call is answered by the process.

    Calls block, for `timeout_s` at most, and belong on one thread, the one that called `start`:
    on Linux the process is killed when that thread ends, so that it never outlives its parent.
    Every call raises what the Writer raises, or RepositoryUnavailable when the process is gone
    or silent; it is dead then.
    """

    def __init__(
        self, process: SpawnProcess, pipe: Connection, *, log_path: Path, timeout_s: float
    ) -> None:
        self._process = process
        self._pipe = pipe
        self._log = log_path
        self._timeout_s = timeout_s
        self._opened = False

    @classmethod
    def start(cls, folder: DataFolder, settings: RepositorySettings, *, timeout_s: float) -> Self:
        """Start the process, which then opens the repository."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve,
            args=(theirs, folder, settings, os.getpid()),
            name="oxherd-writer",
            daemon=True,
        )
        process.start()
        theirs.close()  # so that its end is the only one, and its death is the end of the pipe

        return cls(process, ours, log_path=folder.writer_log, timeout_s=timeout_s)

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait_until_open(self) -> None:
        if not self._opened:
            self._answer(doing="opening it", timeout_s=_OPENING_TIMEOUT_S)
            self._opened = True

    def knows(self, commit_id: str) -> bool:
        return bool(self._ask("knows", commit_id=commit_id))

    def commit_pending(self, *, after_seq: int, limit: int = BATCH_CHANGES) -> Committed | None:
        committed: Committed | None = self._ask("commit_pending", after_seq=after_seq, limit=limit)

        return committed

    def snapshot(self) -> str | None:
        commit_id: str | None = self._ask("snapshot")

        return commit_id

    def log(self, limit: int) -> Sequence[CommitInfo]:
        commits: Sequence[CommitInfo] = self._ask("log", limit=limit)

        return commits

    def close(self) -> None:
        """Let the process end by itself, or kill it if it does not within a second."""
        self._pipe.close()
        self._end(patience_s=1.0)

    def kill(self) -> None:
        """End the process now, from any thread: the call that waits for it raises. What it was
        doing can be done again."""
        self._process.kill()

    def _end(self, *, patience_s: float = 0.0) -> None:
        self._process.join(patience_s)
        self._process.kill()
        self._process.join()

    def _ask(self, method: str, **arguments: Any) -> Any:
        try:
            self._pipe.send((method, arguments))
        except OSError as exc:
            self._end()
            raise RepositoryUnavailable.while_(method, reason="the writer died") from exc

        return self._answer(doing=method, timeout_s=self._timeout_s)

    def _answer(self, *, doing: str, timeout_s: float) -> Any:
        try:
            if not self._pipe.poll(timeout_s):
                self._end()
                raise RepositoryUnavailable.while_(
                    doing, reason=f"the writer was silent for {timeout_s:g} s and was ended"
                )

            failed, answer = self._pipe.recv()
        except (EOFError, OSError) as exc:
            self._end(patience_s=1.0)
            raise RepositoryUnavailable.while_(
                doing,
                reason=f"the writer ended ({self._process.exitcode}), see {self._log}",
            ) from exc

        if failed:
            raise answer

        return answer


def serve(
    pipe: Connection, folder: DataFolder, settings: RepositorySettings, parent_pid: int
) -> None:
    """The process's end: own the repository and answer until the parent is gone."""
    _leave_stopping_to_the_parent(parent_pid)
    os.nice(5)  # whoever presses a button comes before the commit of an earlier press
    _send_output_to(folder)

    try:
        writer = open_writer(folder, settings)
    except StorageError as exc:
        log.exception("the dataset did not open")
        pipe.send((True, exc))
        return
    except Exception:
        log.exception("the dataset did not open, unexpectedly")
        raise

    pipe.send((False, None))
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            break

        _bound_output(folder)
        try:
            answer = (False, getattr(writer, method)(**arguments))
        except StorageError as exc:
            log.exception("%s failed", method)
            answer = (True, exc)
        except Exception as exc:
            log.exception("%s failed unexpectedly", method)
            answer = (True, RepositoryRejected.while_(method, reason=f"{exc!r}, see the log"))

        try:
            pipe.send(answer)
        except BrokenPipeError:
            break

    writer.close()


def open_writer(folder: DataFolder, settings: RepositorySettings) -> Writer:
    """A Writer on the real repository, in this process."""
    return Writer(
        _open_patiently(folder, settings), journal=folder.journal, spool=Spool(folder.spool)
    )


def _open_patiently(folder: DataFolder, settings: RepositorySettings) -> DataRepository:
    from storage.oxen_repository import OxenRepository, OxenSettings

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


def _leave_stopping_to_the_parent(parent_pid: int) -> None:
    """Ctrl-C reaches the whole process group, but only the parent knows when votes are flushed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        # Even in the middle of a hanging call: nothing may hold the repository's lock for ever.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    if os.getppid() != parent_pid:
        os._exit(1)


def _send_output_to(folder: DataFolder) -> None:
    """Oxen prints from Rust, past sys.stdout: redirect the descriptors themselves."""
    folder.writer_log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.writer_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for output in (1, 2):
        os.dup2(descriptor, output)

    os.close(descriptor)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )


def _bound_output(folder: DataFolder) -> None:
    """Keep at most two logs of a few megabytes: Oxen prints a line for every file."""
    with contextlib.suppress(OSError):  # a full disk must not stop the commit that may free it
        if os.fstat(2).st_size > _LOG_LIMIT_BYTES:
            folder.writer_log.replace(folder.writer_log.with_suffix(".log.1"))
            _send_output_to(folder)

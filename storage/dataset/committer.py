"""Makes the dataset follow the journal, for as long as the store is open."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self, TypeVar

from storage.dataset.repository import CommitInfo
from storage.dataset.writer import Committed
from storage.errors import StorageError
from storage.journal.thread import JournalThread
from storage.journal.watermark import Watermark
from storage.processes.thread import OneThread

log = logging.getLogger(__name__)

_LOOK_AT_THE_WRITER_EVERY_S = 5.0

T = TypeVar("T")


class AnyWriter(Protocol):
    """A Writer, in this process or in another. Calls block, and belong on one thread."""

    @property
    def pid(self) -> int | None: ...
    def is_alive(self) -> bool: ...
    def wait_until_open(self) -> None: ...
    def knows(self, commit_id: str) -> bool: ...
    def commit_pending(self, *, after_seq: int) -> Committed | None: ...
    def snapshot(self) -> str | None: ...
    def share(self, path: Path) -> str: ...
    def log(self, limit: int) -> Sequence[CommitInfo]: ...
    def close(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What another process sees of the dataset: everything up to `committed_seq`, as one
    repository whose newest commit is `commit_id`, the last of `commits`."""

    commit_id: str
    committed_seq: int
    commits: int
    at: datetime


class Committer:
    """Owns the writer: starts it, asks it for one thing at a time, replaces it after an error.

    While the dataset cannot be changed, votes wait in the journal and the committer tries
    again, after `first_pause_s` at first and `longest_pause_s` at last.
    `last_error` is what keeps it from committing, None when nothing does.
    """

    def __init__(
        self,
        start_writer: Callable[[], AnyWriter],
        *,
        thread: OneThread,
        journal: JournalThread,
        now: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
        first_pause_s: float = 1.0,
        longest_pause_s: float = 60.0,
    ) -> None:
        self._start_writer = start_writer
        self._journal = journal
        self._now = now
        self._jitter = jitter
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._committed_seq = -1  # not known before the first look
        self._one_at_a_time = asyncio.Lock()
        self._thread = thread
        self._ready = False
        self.committed: Callable[[], None] = lambda: None  # called after every commit
        self.writer: AnyWriter | None = None
        self.last_error: Exception | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        start_writer: Callable[[], AnyWriter],
        *,
        journal: JournalThread,
        now: Callable[[], datetime],
        first_pause_s: float = 1.0,
    ) -> AsyncIterator[Self]:
        """Commit in the background until the block ends; what is being committed then is given
        up, not waited for."""
        # One thread for the writer's whole life: its process dies with the thread that made it.
        async with OneThread.open("oxherd-writer") as thread:
            self = cls(
                start_writer, thread=thread, journal=journal, now=now, first_pause_s=first_pause_s
            )
            task = asyncio.create_task(self._commit_forever(), name="oxherd-committer")
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await self._close()

    def wake(self) -> None:
        """Say that the journal has something new."""
        self._wake.set()

    async def settled(self) -> None:
        """Wait until the dataset holds everything that was recorded before the call."""
        mark = await self._watermark()
        self.wake()
        async with self._progress:
            await self._progress.wait_for(lambda: self._committed_seq >= mark.newest_seq)

    async def start(self) -> None:
        """Start the writer now. Raises what keeps it from opening the dataset."""
        async with self._session():
            pass

    async def log(self, limit: int) -> Sequence[CommitInfo]:
        """The newest commits. Waits for the commit that is running."""
        async with self._session() as writer:
            return await self._thread.run(lambda: writer.log(limit))

    async def snapshot(self) -> str | None:
        """Commit what waits, then `train.csv`; None if that was as new as the rest."""
        async with self._session() as writer:
            mark = await self._watermark()
            while self._committed_seq < mark.newest_seq:
                await self._commit_once(writer)

            commit_id = await self._thread.run(writer.snapshot)
            await self._journal.run(
                lambda journal: journal.progress.mark_snapshot(commit_id=commit_id, now=self._now())
            )

            return commit_id

    async def share(self, path: Path) -> Share:
        """Make `path` a repository that shows what is committed now. Waits for a commit that is
        running, and nothing else."""
        async with self._session() as writer:
            mark = await self._watermark()
            commit_id = await self._thread.run(lambda: writer.share(path))

        return Share(
            commit_id=commit_id,
            committed_seq=mark.committed_seq,
            commits=mark.commits,
            at=self._now(),
        )

    async def _commit_forever(self) -> None:
        pause_s = self._first_pause_s
        while True:
            await self._work_to_do()
            self._wake.clear()
            try:
                while await self._commit_next():
                    self.last_error = None
            except Exception as exc:
                log.warning("%s", exc, exc_info=not isinstance(exc, StorageError))
                self.last_error = exc
                await asyncio.sleep(pause_s * (0.5 + 0.5 * self._jitter()))
                pause_s = min(2 * pause_s, self._longest_pause_s)
                self._wake.set()
            else:
                self.last_error = None
                pause_s = self._first_pause_s

    async def _work_to_do(self) -> None:
        """Wait until somebody woke us; a writer that ended by itself is work too."""
        while not self._wake.is_set():
            try:
                async with asyncio.timeout(_LOOK_AT_THE_WRITER_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                if self.writer is None or not self.writer.is_alive():
                    return

    async def _commit_next(self) -> bool:
        """One batch, between other people's questions. False when nothing waited."""
        async with self._session() as writer:
            return await self._commit_once(writer)

    async def _commit_once(self, writer: AnyWriter) -> bool:
        mark = await self._watermark()
        await self._reached(mark.committed_seq)
        if mark.committed_seq == mark.newest_seq:
            return False

        done = await self._thread.run(lambda: writer.commit_pending(after_seq=mark.committed_seq))
        if done is None:
            return False

        await self._journal.run(
            lambda journal: journal.progress.mark_committed(
                done.upto_seq, commit_id=done.commit_id, now=self._now()
            )
        )
        await self._reached(done.upto_seq)
        self.committed()
        log.info("committed the changes up to %d as %s", done.upto_seq, done.commit_id)

        return True

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AnyWriter]:
        """The writer, for one caller at a time. After an error the next gets another writer."""
        async with self._one_at_a_time:
            try:
                if self.writer is not None and not self.writer.is_alive():
                    log.warning("the writer ended; another one is started")
                    await self._discard()

                yield self.writer if self.writer and self._ready else await self._started()
            except Exception:
                await self._discard()
                raise

    async def _started(self) -> AnyWriter:
        """Each step may be done again: the caller before may have been cancelled at any."""
        writer = self.writer
        if writer is None:
            writer = self.writer = await self._thread.run(self._start_writer)

        await self._thread.run(writer.wait_until_open)
        commit_id = (await self._watermark()).commit_id
        if commit_id and not await self._thread.run(lambda: writer.knows(commit_id)):
            # The dataset was made anew or put back from a backup: let it follow from the
            # beginning. What it holds already is no change.
            log.warning("commit %s is not in the dataset: it follows from the start", commit_id)
            await self._journal.run(lambda journal: journal.progress.forget_commits())

        self._ready = True

        return writer

    async def _watermark(self) -> Watermark:
        return await self._journal.run(lambda journal: journal.progress.watermark())

    async def _reached(self, seq: int) -> None:
        async with self._progress:
            self._committed_seq = seq
            self._progress.notify_all()

    async def _discard(self) -> None:
        writer, self.writer, self._ready = self.writer, None, False
        if writer is not None:
            await self._thread.run(writer.close)

    async def _close(self) -> None:
        if self._thread.busy and self.writer is not None:
            self.writer.kill()

        await self._thread.idle()
        async with self._one_at_a_time:
            await self._discard()

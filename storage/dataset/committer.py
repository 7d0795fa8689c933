"""Commits every change in the journal to the dataset, for as long as the store is open."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from storage.dataset.repository import CommitInfo
from storage.dataset.writer import Writer
from storage.errors import StorageError
from storage.journal.queries import Journal
from storage.journal.thread import JournalThread
from storage.journal.watermark import Watermark
from storage.processes.backoff import Backoff
from storage.processes.inline import AnyProcess
from storage.processes.thread import OneThread

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 5.0

REST_S = 5.0
"""How long a vote that was changed rests: who toggles one makes one commit in this time."""

# One act of a moderator is one commit, however many votes and images leave or return with it. Of
# 1,200 votes, 600 images left and came back: 23 and 45 s on two cores under a load of 15, 2.3 and
# 5.1 s of processor time.
ACT_S_PER_VOTE = 0.2

WriterProcess = AnyProcess[Writer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A repository made from the dataset for the pusher to read: everything up to `committed_seq`,
    in `commits` commits of which `commit_id` is the newest."""

    commit_id: str
    committed_seq: int
    commits: int
    at: datetime


class Committer:
    """Owns the writer: starts it, calls it for one thing at a time, replaces it after an error.

    Changes rest in the journal for `commit_every_s`, and votes that were changed for `rest_s` at
    least, so that several share a commit. They wait there too while the dataset cannot be changed,
    and the commit is tried again. `last_error` is the error of the last commit, None when it
    succeeded.
    """

    def __init__(
        self,
        start_writer: Callable[[bool], WriterProcess],
        *,
        thread: OneThread,
        journal: JournalThread,
        now: Callable[[], datetime],
        commit_every_s: float,
        rest_s: float,
    ) -> None:
        self._start_writer = start_writer
        self._journal = journal
        self._now = now
        self._commit_every_s = commit_every_s
        self._rest_s = max(rest_s, commit_every_s)
        self._due = math.inf  # when what waits is to be committed, by the event loop's clock
        self._backoff = Backoff(first_s=1.0, longest_s=60.0)
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._committed_seq = -1  # unknown before the first commit
        self._one_at_a_time = asyncio.Lock()
        self._thread = thread
        self._ready = False
        self._has_opened = False
        self.committed: Callable[[], None] = lambda: None  # called after every commit
        self.writer: WriterProcess | None = None
        self.last_error: Exception | None = None
        self.is_paused = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        start_writer: Callable[[bool], WriterProcess],
        *,
        journal: JournalThread,
        now: Callable[[], datetime],
        commit_every_s: float = 0.0,
        rest_s: float = REST_S,
    ) -> AsyncIterator[Self]:
        """Commit in the background until the block ends; a commit that runs then is killed.

        start_writer: whether it may create the dataset; True until it has been open once.
        commit_every_s: how long a change may wait for others to share its commit. rest_s: the same
        of a change to a vote, if that is longer.
        """
        # One thread for the writer's whole life: its process dies with the thread that started it.
        async with OneThread.open("oxherd-writer") as thread:
            self = cls(
                start_writer,
                thread=thread,
                journal=journal,
                now=now,
                commit_every_s=commit_every_s,
                rest_s=rest_s,
            )
            task = asyncio.create_task(self._commit_forever(), name="oxherd-committer")
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await self._close()

    def wake(self) -> None:
        """Commit after `commit_every_s`, or sooner: the journal has something new."""
        self._commit_in(self._commit_every_s)

    def wake_after_rest(self) -> None:
        """The same for what is likely to change again: a vote that was changed."""
        self._commit_in(self._rest_s)

    def hurry(self) -> None:
        """Commit now what the journal has."""
        self._commit_in(0.0)

    async def settled(self) -> None:
        """Wait until the dataset holds everything that was recorded before the call."""
        mark = await self._watermark()
        self.hurry()
        async with self._progress:
            await self._progress.wait_for(lambda: self._committed_seq >= mark.newest_seq)

    async def start(self) -> None:
        """Start the writer now. Raises what keeps it from opening the dataset."""
        async with self._session():
            pass

    async def log(self, limit: int) -> Sequence[CommitInfo]:
        """The newest commits. Waits for the commit that is running."""
        async with self._session() as writer:
            return await self._thread.run(lambda: writer.call(Writer.log, limit))

    async def image(self, image_id: str, *, shard: int) -> bytes | None:
        """The bytes of an image in the dataset, or None. Waits for the commit that is running."""
        async with self._session() as writer:
            return await self._thread.run(lambda: writer.call(Writer.image, image_id, shard=shard))

    async def snapshot(self) -> str | None:
        """Commit all votes and then `train.csv`; None if that has not changed."""
        async with self._session() as writer:
            mark = await self._watermark()
            while self._committed_seq < mark.newest_seq:
                await self._commit_once(writer)

            _log_mended(await self._thread.run(lambda: writer.call(Writer.mend)))
            commit_id = await self._thread.run(lambda: writer.call(Writer.snapshot))
            await self._journal.run(
                lambda journal: journal.progress.mark_snapshot(commit_id=commit_id, now=self._now())
            )

            return commit_id

    async def share(self, path: Path) -> Share:
        """Make `path` a repository that shows what is committed now. Waits for a commit that is
        running, and nothing else. If cancelled, `path` is complete before this raises."""
        async with self._session() as writer:
            mark = await self._watermark()
            try:
                commit_id = await self._thread.run(lambda: writer.call(Writer.share, path))
            except asyncio.CancelledError:
                await self._thread.idle()
                raise

        return Share(
            commit_id=commit_id,
            committed_seq=mark.committed_seq,
            commits=mark.commits,
            at=self._now(),
        )

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Commit nothing, and have the dataset open in no process, until the block ends."""
        async with self._one_at_a_time:
            self.is_paused = True
            try:
                await self._discard()
                yield
            finally:
                self.is_paused = False
                self.wake()

    async def mend(self) -> None:
        """Put back tables that somebody else changed, and commit the votes on missing images whose
        bytes are back."""
        async with self._session() as writer:
            _log_mended(await self._thread.run(lambda: writer.call(Writer.mend)))
            await self._find_missing(writer)

    def _commit_in(self, seconds: float) -> None:
        self._due = min(self._due, asyncio.get_running_loop().time() + seconds)
        self._wake.set()

    async def _commit_forever(self) -> None:
        while True:
            is_due = await self._work_to_do()
            try:
                if is_due:
                    await self._commit_waiting()
                else:
                    await self._look()
            except Exception as exc:
                log.warning("%s", exc, exc_info=not isinstance(exc, StorageError))
                self.last_error = exc
                await asyncio.sleep(self._backoff.next_s())
                self.hurry()
            else:
                self.last_error = None
                self._backoff.reset()

    async def _work_to_do(self) -> bool:
        """Wait until a commit is due (True), or the writer and the dataset are to be looked at."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + _LOOK_EVERY_S
        while loop.time() < (until := min(look_at, self._due)):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._wake.wait()

            self._wake.clear()

        is_due = self._due <= loop.time()
        if is_due:
            self._due = math.inf

        return is_due

    async def _look(self) -> None:
        """Replace a writer that is gone; notice a dataset that is, and changes that nobody told
        of."""
        async with self._session() as writer:
            await self._thread.run(lambda: writer.call(Writer.check))
            mark = await self._watermark()
            if mark.committed_seq < mark.newest_seq:
                self.wake_after_rest()

    async def _commit_waiting(self) -> None:
        """Commit what waits now, in batches. What comes meanwhile has its own time to rest."""
        newest_seq: int | None = None
        while newest_seq is None or self._committed_seq < newest_seq:
            async with self._session() as writer:
                if newest_seq is None:
                    newest_seq = (await self._watermark()).newest_seq

                if not await self._commit_once(writer):
                    break

            self.last_error = None

    async def _commit_once(self, writer: WriterProcess) -> bool:
        mark = await self._watermark()
        await self._reached(mark.committed_seq)
        votes = await self._journal.run(
            lambda journal: journal.moderation.votes_to_move(after_seq=mark.committed_seq)
        )
        usual_s, writer.timeout_s = writer.timeout_s, writer.timeout_s + ACT_S_PER_VOTE * votes
        try:
            done = await self._thread.run(
                lambda: writer.call(Writer.commit_pending, after_seq=mark.committed_seq)
            )
        finally:
            writer.timeout_s = usual_s

        if done is None and mark.committed_seq == mark.newest_seq:
            return False

        if done is None:  # the newest changes were replaced by none
            await self._journal.run(
                lambda journal: journal.progress.mark_committed(
                    mark.newest_seq, commit_id=None, now=self._now()
                )
            )
            await self._reached(mark.newest_seq)
            log.info(
                "the changes up to %d need no commit",
                mark.newest_seq,
                extra={"changes": [mark.committed_seq + 1, mark.newest_seq]},
            )
            return False

        def mark_committed(journal: Journal) -> None:
            journal.missing.mark(done.missing, now=self._now())
            journal.progress.mark_committed(
                done.upto_seq, commit_id=done.commit_id, now=self._now()
            )

        await self._journal.run(mark_committed)
        _log_mended(done.mended)
        if done.missing:
            log.warning("%s", await self._journal.run(lambda journal: journal.missing.summary()))

        await self._reached(done.upto_seq)
        self.committed()
        log.info(
            "committed the changes up to %d as %s",
            done.upto_seq,
            done.commit_id,
            extra={"changes": [mark.committed_seq + 1, done.upto_seq]},
        )

        return True

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[WriterProcess]:
        """The writer, for one caller at a time. After an error it is replaced."""
        async with self._one_at_a_time:
            try:
                if self.writer is not None and not self.writer.is_alive():
                    log.warning("the writer ended; a new one is started")
                    await self._discard()

                yield self.writer if self.writer and self._ready else await self._started()
            except Exception:
                await self._discard()
                raise

    async def _started(self) -> WriterProcess:
        """Start the writer and wait until it is ready; each step may have been done before."""
        writer = self.writer
        if writer is None:
            create = not self._has_opened
            writer = self.writer = await self._thread.run(lambda: self._start_writer(create))

        await self._thread.run(writer.wait_until_open)
        mark = await self._watermark()
        if not await self._thread.run(lambda: writer.call(Writer.follows, mark)):
            # The dataset is new, or was restored from a backup. Files that it has already do not
            # change by committing everything again.
            log.warning(
                "commit %s is not in the dataset: committing again from the first change",
                mark.commit_id,
            )
            await self._journal.run(lambda journal: journal.progress.restart())

        _log_mended(await self._thread.run(lambda: writer.call(Writer.mend)))
        await self._find_missing(writer)
        self._ready = self._has_opened = True

        return writer

    async def _find_missing(self, writer: WriterProcess) -> None:
        places = await self._journal.run(lambda journal: journal.missing.places())
        if places and (found := await self._thread.run(lambda: writer.call(Writer.found, places))):
            log.warning("the bytes of %d missing images are back", len(found))
            await self._journal.run(lambda journal: journal.missing.mark_found(found))
            self.wake()

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


def _log_mended(paths: Sequence[str]) -> None:
    for path in paths:
        log.warning("%s in the dataset differed from the last commit and was put back", path)

"""Background jobs of the open store: old images, the daily snapshot, the journal's log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self

from storage.dataset.committer import Committer
from storage.errors import StorageError
from storage.journal.file import checkpoint
from storage.journal.spool import Spool
from storage.journal.thread import JournalThread
from storage.processes.thread import OneThread

log = logging.getLogger(__name__)

_HOUSEKEEPING_EVERY_S = 600.0
_CHECKPOINT_EVERY_S = 5.0
_SNAPSHOT_EVERY = timedelta(days=1)


class Upkeep:
    """Deletes images without votes, writes the daily snapshot, keeps SQLite's log short."""

    def __init__(
        self,
        *,
        journal: JournalThread,
        journal_path: Path,
        spool: Spool,
        spool_thread: OneThread,
        committer: Committer,
        keep_unvoted: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._journal_path = journal_path
        self._spool = spool
        self._spool_thread = spool_thread
        self._committer = committer
        self._keep_unvoted = keep_unvoted
        self._now = now

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Run the jobs in the background until the block ends."""
        tasks = [
            asyncio.create_task(_repeat(job, every_s=every_s), name=f"oxherd-{job.__name__}")
            for job, every_s in (
                (self.drop_unvoted, _HOUSEKEEPING_EVERY_S),
                (self.snapshot_if_due, _HOUSEKEEPING_EVERY_S),
                (self.shorten_the_log, _CHECKPOINT_EVERY_S),
            )
        ]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()

            await asyncio.gather(*tasks, return_exceptions=True)

    async def drop_unvoted(self) -> int:
        """Delete images without a vote that are older than `keep_unvoted`; how many there were."""
        now = self._now()
        try:
            before = now - self._keep_unvoted
        except OverflowError:
            return 0  # kept for longer than a datetime reaches back

        total = 0
        while dropped := await self._journal.run(
            lambda journal: journal.drop_unvoted(before=before, now=now)
        ):
            await self._spool_thread.run(partial(self._spool.discard, dropped))
            total += len(dropped)

        return total

    async def snapshot_if_due(self) -> None:
        """Write `train.csv` if the last one is at least a day old."""
        mark = await self._journal.run(lambda journal: journal.progress.watermark())
        if mark.snapshot_at is None or self._now() - mark.snapshot_at >= _SNAPSHOT_EVERY:
            await self._committer.snapshot()

    async def shorten_the_log(self) -> None:
        """Move SQLite's write-ahead log into the database if it has grown."""
        await self._spool_thread.run(partial(checkpoint, self._journal_path))


async def _repeat(job: Callable[[], Awaitable[object]], *, every_s: float) -> None:
    while True:
        try:
            await job()
        except StorageError as exc:
            log.warning("%s", exc)
        except Exception:
            log.exception("unexpected error, the next try is in %.0f s", every_s)

        await asyncio.sleep(every_s)

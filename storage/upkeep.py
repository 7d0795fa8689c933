"""Jobs of the open store: the spool, old images, bans that end, the journal's log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

from storage.clock import SteadyClock
from storage.dataset.committer import Committer
from storage.errors import StorageError
from storage.folder import DataFolder
from storage.journal.file import checkpoint
from storage.journal.spool import Spool
from storage.journal.thread import JournalThread
from storage.processes.thread import OneThread

log = logging.getLogger(__name__)

_HOUSEKEEPING_EVERY_S = 600.0
_CHECKPOINT_EVERY_S = 5.0
_ERASE_EVERY_S = 3600.0  # the journal is written anew each time that there was something
_BANS_EVERY_S = 30.0
_CERTAIN_EVERY_S = 10.0  # 0.2 s of processor time at a million votes


class Upkeep:
    """Sorts the spool, deletes images without votes, ends bans, keeps SQLite's log short."""

    def __init__(
        self,
        folder: DataFolder,
        *,
        journal: JournalThread,
        spool_thread: OneThread,
        committer: Committer,
        keep_unvoted: timedelta,
        keep_requests: timedelta,
        keep_closed: timedelta,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._spool = Spool(folder.spool)
        self._set_aside = Spool(folder.set_aside)
        self._spool_thread = spool_thread
        self._committer = committer
        self._keep_unvoted = keep_unvoted
        self._keep_requests = keep_requests
        self._keep_closed = keep_closed
        self._now = now
        self._clock = SteadyClock(now, monotonic)

    @asynccontextmanager
    async def running(
        self, *, note_certain: Callable[[], Awaitable[object]]
    ) -> AsyncIterator[Self]:
        """Run the jobs in the background until the block ends. note_certain: one that is not
        here."""
        tasks = [
            asyncio.create_task(_repeat(job, every_s=every_s), name=f"oxherd-{name}")
            for name, job, every_s in (
                ("drop_by_age", self.drop_by_age, _HOUSEKEEPING_EVERY_S),
                ("erase_by_age", self.erase_by_age, _ERASE_EVERY_S),
                ("mend", self._committer.mend, _HOUSEKEEPING_EVERY_S),
                ("shorten_the_log", self.shorten_the_log, _CHECKPOINT_EVERY_S),
                ("end_bans", self.end_bans, _BANS_EVERY_S),
                ("note_certain", note_certain, _CERTAIN_EVERY_S),
            )
        ]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()

            await asyncio.gather(*tasks, return_exceptions=True)

    async def sort_spool(self) -> None:
        """Set aside the images that the journal does not know, bring back those that it knows
        again, and delete those that were removed or withheld."""
        aside = await self._spool_thread.run(self._set_aside.ids)
        strange = await self._journal.run(lambda journal: journal.unknown(aside))
        back = set(aside) - set(strange)
        await self._spool_thread.run(
            lambda: self._set_aside.move(back, self._spool, now=self._now())
        )

        await self._spool_thread.run(self._spool.clean)
        await self.discard_unneeded()
        here = await self._spool_thread.run(self._spool.ids)
        unknown = await self._journal.run(lambda journal: journal.unknown(here))
        if unknown:
            await self._spool_thread.run(
                lambda: self._spool.move(unknown, self._set_aside, now=self._now())
            )
            log.warning(
                "the journal does not know %d images in %s: they were moved to %s and are deleted "
                "after OXHERD_KEEP_UNVOTED_DAYS",
                len(unknown),
                self._folder.spool,
                self._folder.set_aside,
            )

    async def drop_by_age(self) -> None:
        """Delete images that are too old, unless the clock may be wrong."""
        if self._clock.is_steady():
            await self.drop_unvoted()

    async def drop_unvoted(self) -> int:
        """Delete images without a vote that are older than `keep_unvoted`; how many there were."""
        now = self._now()
        before = _ago(now, self._keep_unvoted)
        total = 0
        while dropped := await self._journal.run(
            lambda journal: journal.drop_unvoted(before=before, now=now)
        ):
            await self._spool_thread.run(partial(self._spool.discard, dropped))
            total += len(dropped)

        await self._spool_thread.run(partial(self._set_aside.discard_older, before))
        await self.discard_unneeded()

        return total

    async def erase_by_age(self) -> None:
        """Take out requests that are too old, unless the clock may be wrong."""
        if self._clock.is_steady():
            await self.erase_old()

    async def erase_old(self) -> None:
        """Take out requests without votes, and those that were cancelled or failed, that are older
        than they are kept."""
        now = self._now()
        erased = await self._journal.run(
            lambda journal: journal.erase_old(
                unvoted_before=_ago(now, self._keep_requests),
                closed_before=_ago(now, self._keep_closed),
                now=now,
            )
        )
        if erased:
            await self._spool_thread.run(partial(self._spool.discard, erased))
            self._committer.wake()

    async def end_bans(self) -> None:
        """Bring back the votes of members whose ban is over."""
        if await self._journal.run(lambda journal: journal.moderation.end_bans(now=self._now())):
            self._committer.wake()

    async def discard_unneeded(self) -> None:
        """Delete images in the spool that were removed, withheld or forgotten."""
        here = await self._spool_thread.run(self._spool.ids)
        unneeded = await self._journal.run(lambda journal: journal.unneeded(here))
        await self._spool_thread.run(partial(self._spool.discard, unneeded))

    async def shorten_the_log(self) -> None:
        """Move SQLite's write-ahead log into the database if it has grown."""
        await self._spool_thread.run(partial(checkpoint, self._folder.journal))


def _ago(now: datetime, duration: timedelta) -> datetime:
    """The first moment of all if the duration is longer than a datetime reaches back."""
    try:
        return now - duration
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


async def _repeat(job: Callable[[], Awaitable[object]], *, every_s: float) -> None:
    while True:
        try:
            await job()
        except StorageError as exc:
            log.warning("%s", exc)
        except Exception:
            log.exception("unexpected error, the next try is in %.0f s", every_s)

        await asyncio.sleep(every_s)

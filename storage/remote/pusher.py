"""Makes the remote follow the dataset, for as long as the store is open."""

import asyncio
import logging
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Protocol, Self

from storage.dataset.committer import Committer, Share
from storage.errors import RemoteMoved, RemoteUnavailable, StorageError
from storage.journal.remote_watermark import RemoteWatermark
from storage.journal.thread import JournalThread
from storage.processes.thread import OneThread
from storage.remote.settings import Fetched, RemoteSettings
from storage.status import RemoteStatus

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 600.0


class AnyRemote(Protocol):
    """An OxenRemote, in another process. Calls block, and belong on one thread."""

    def is_alive(self) -> bool: ...
    def push(self, path: Path, *, branch: str) -> None: ...
    def has_branch(self, branch: str) -> bool: ...
    def look(self, *, branch: str) -> str: ...
    def fetch(self, path: Path, *, branch: str) -> Fetched | None: ...
    def close(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Which remote, and how a process is started that talks to it."""

    settings: RemoteSettings
    start: Callable[[], AnyRemote]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long to wait after a push that failed, seconds: twice as long after each more."""

    first_s: float = 1.0
    longest_s: float = 120.0


class Pusher:
    """Owns the pusher's process: pushes whatever is committed, one push at a time.

    What is committed while a push runs shares the next one. While the remote cannot be reached,
    commits wait in the local dataset and the pusher tries again. When somebody else moved the
    branch, it goes on in a new one with the date in its name: nothing is ever overwritten.
    `last_error` is what keeps it from pushing, None when nothing does.
    """

    def __init__(
        self,
        remote: Remote,
        *,
        shared: Path,
        thread: OneThread,
        journal: JournalThread,
        committer: Committer,
        now: Callable[[], datetime],
        pauses: Pauses,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = remote.settings
        self._start = remote.start
        self._shared = shared
        self._thread = thread
        self._journal = journal
        self._committer = committer
        self._now = now
        self._pauses = pauses
        self._jitter = jitter
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._pushed_commits = -1  # not known before the first look
        self._number = 0
        self._process: AnyRemote | None = None
        self._closing = False
        self.last_error: Exception | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        remote: Remote,
        *,
        shared: Path,
        journal: JournalThread,
        committer: Committer,
        now: Callable[[], datetime],
        pauses: Pauses = Pauses(),
    ) -> AsyncIterator[Self]:
        """Push in the background until the block ends; a push that runs then is ended."""
        # One thread for the process's whole life: it dies with the thread that made it.
        async with OneThread.open("oxherd-pusher") as thread:
            self = cls(
                remote,
                shared=shared,
                thread=thread,
                journal=journal,
                committer=committer,
                now=now,
                pauses=pauses,
            )
            # What a run that was killed left; its pusher died with it.
            await thread.run(lambda: shutil.rmtree(shared, ignore_errors=True))
            task = asyncio.create_task(self._push_forever(), name="oxherd-pusher")
            try:
                yield self
            finally:
                self._closing = True
                task.cancel()
                if thread.busy and self._process is not None:
                    self._process.kill()  # before the task is waited for: it waits for the push

                await asyncio.gather(task, return_exceptions=True)
                await thread.idle()
                await self._discard()

    def status(self, mark: RemoteWatermark) -> RemoteStatus:
        """How it is, with what the journal says of it."""
        return RemoteStatus(
            url=self._settings.url,
            mark=mark,
            last_error=None if self.last_error is None else str(self.last_error),
        )

    def wake(self) -> None:
        """Say that there is a new commit."""
        self._wake.set()

    async def settled(self) -> None:
        """Wait until the remote holds everything that was committed before the call."""
        mark = await self._journal.run(lambda journal: journal.progress.watermark())
        self.wake()
        async with self._progress:
            await self._progress.wait_for(lambda: self._pushed_commits >= mark.commits)

    async def _push_forever(self) -> None:
        failures = 0
        look = True
        while True:
            try:
                await self._push(even_if_known=look)
            except Exception as exc:
                log.warning(
                    "%s (%s)",
                    exc,
                    await self._not_pushed(),
                    exc_info=not isinstance(exc, StorageError),
                )
                self.last_error = exc
                await self._discard()
                await asyncio.sleep(self._pause_s(failures))
                failures += 1
                continue

            self.last_error = None
            failures = 0
            look = not await self._woken()

    async def _not_pushed(self) -> str:
        """For the log: how much waits, and since when."""
        try:
            mark = await self._mark()
        except StorageError as exc:
            return str(exc)

        return (
            f"not pushed: votes {mark.votes_waiting}, commits {mark.commits_waiting}, "
            f"the oldest since {mark.waiting_since or 'now'}"
        )

    async def _woken(self) -> bool:
        """Wait for a new commit; False when none came for so long that the remote is looked at
        all the same: somebody may have lost it or put it back from a backup."""
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                await self._wake.wait()
        except TimeoutError:
            return False

        self._wake.clear()

        return True

    async def _push(self, *, even_if_known: bool) -> None:
        """Bring the remote to what is committed now; one push, unless the branch was moved."""
        mark = await self._mark()
        # Another folder each time: Oxen keeps what it knows of a path for as long as it runs.
        self._number += 1
        shared = self._shared / f"{self._number:08d}"
        try:
            share = await self._committer.share(shared)
            if even_if_known or share.commit_id != mark.commit_id:
                await self._push_share(share, shared, branch=mark.branch)

            self._pushed_commits = share.commits
            async with self._progress:
                self._progress.notify_all()
        finally:
            await self._thread.run(lambda: shutil.rmtree(shared, ignore_errors=True))

    async def _push_share(self, share: Share, path: Path, *, branch: str) -> None:
        try:
            await self._thread.run(lambda: self._started().push(path, branch=branch))
        except RemoteMoved as exc:
            other = await self._thread.run(self._free_branch)
            log.warning("%s Votes are pushed to the branch %s from now on.", exc, other)
            await self._journal.run(lambda journal: journal.remote.switch_branch(other))
            await self._thread.run(lambda: self._started().push(path, branch=other))

        await self._journal.run(
            lambda journal: journal.remote.mark_pushed(
                share.committed_seq,
                commits=share.commits,
                commit_id=share.commit_id,
                shared_at=share.at,
                now=self._now(),
            )
        )
        log.info("pushed %s to %s", share.commit_id, self._settings.url)

    def _free_branch(self) -> str:
        """A name with the date that no branch of the remote has."""
        dated = f"{self._settings.branch}-{self._now():%Y-%m-%d}"
        names = chain([dated], (f"{dated}-{number}" for number in count(2)))

        return next(name for name in names if not self._started().has_branch(name))

    def _started(self) -> AnyRemote:
        if self._process is not None and not self._process.is_alive():
            self._process = None

        if self._process is None:
            self._process = self._start()

        if self._closing:
            raise RemoteUnavailable.while_("starting the pusher", reason="the store is closing")

        return self._process

    def _pause_s(self, failures: int) -> float:
        """Twice as long after each failure, less up to half by chance."""
        longest_s = min(self._pauses.first_s * 2.0 ** min(failures, 30), self._pauses.longest_s)

        return longest_s * (0.5 + 0.5 * self._jitter())

    async def _mark(self) -> RemoteWatermark:
        mark = await self._journal.run(lambda journal: journal.remote.watermark())
        assert mark is not None, "`open` has made it"

        return mark

    async def _discard(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await self._thread.run(process.close)

"""Pushes every commit of the dataset to the remote, for as long as the store is open."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Self

from storage.dataset.committer import Committer, Share
from storage.errors import RemoteMoved, RemoteSilent, RemoteUnavailable, StorageError
from storage.journal.queries import Journal
from storage.journal.remote_watermark import RemoteWatermark
from storage.journal.thread import JournalThread
from storage.processes.backoff import Backoff
from storage.processes.inline import AnyProcess
from storage.processes.thread import OneThread
from storage.remote.repository import COMMITS_AT_ONCE, RemoteRepository
from storage.remote.settings import RemoteSettings
from storage.status import RemoteStatus

log = logging.getLogger(__name__)

_VERIFY_EVERY_S = 600.0

# After a time-out commits are sent one at a time, so that a slow line carries each to its end and
# none is sent again, and the process may be silent for twice as long, up to this many times.
_MOST_PATIENCE = 16

# Oxen keeps 9 to 15 files of each repository that it pushed open until its process ends, and a push
# has a repository of its own: after 60 pushes, 910 of deleted files were open.
_PUSHES_A_PROCESS = 20

PusherProcess = AnyProcess[RemoteRepository]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Which remote, and what starts the process that talks to it."""

    settings: RemoteSettings
    start: Callable[[], PusherProcess]


class Pusher:
    """Owns the pusher's process and pushes what is committed, one push at a time.

    Commits made during a push share the next one. While the remote cannot be reached, commits wait
    in the local dataset and the push is tried again. After a time-out, commits are sent one at a
    time until all have arrived. When somebody else moved the branch, the
    pusher switches to a new one with the date in its name: nothing is ever overwritten.
    `last_error` is the error of the last push, None when it succeeded.
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
        backoff: Backoff,
    ) -> None:
        self._settings = remote.settings
        self._start = remote.start
        self._shared = shared
        self._thread = thread
        self._journal = journal
        self._committer = committer
        self._now = now
        self._backoff = backoff
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._pushed_commits = -1  # unknown before the first push
        self._number = 0
        self._pushes = 0  # of this process
        self._patience = 1
        self._process: PusherProcess | None = None
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
        first_pause_s: float = 1.0,
        longest_pause_s: float = 120.0,
    ) -> AsyncIterator[Self]:
        """Push in the background until the block ends; a push that runs then is killed."""
        # One thread for the process's whole life: the process dies with the thread that started it.
        async with OneThread.open("oxherd-pusher") as thread:
            self = cls(
                remote,
                shared=shared,
                thread=thread,
                journal=journal,
                committer=committer,
                now=now,
                backoff=Backoff(first_s=first_pause_s, longest_s=longest_pause_s),
            )
            # Left by a run that was killed; its pusher died with it.
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

    def status(self, watermark: RemoteWatermark) -> RemoteStatus:
        """How pushing is going. `watermark` is the remote's, from the journal."""
        return RemoteStatus(
            url=self._settings.url,
            watermark=watermark,
            last_error=None if self.last_error is None else str(self.last_error),
        )

    def wake(self) -> None:
        """Push soon: there is a new commit."""
        self._wake.set()

    async def settled(self) -> None:
        """Wait until the remote holds everything that was committed before the call."""
        mark = await self._journal.run(lambda journal: journal.progress.watermark())
        self.wake()
        async with self._progress:
            await self._progress.wait_for(lambda: self._pushed_commits >= mark.commits)

    async def _push_forever(self) -> None:
        verify = True
        while True:
            try:
                await self._push(verify=verify)
            except Exception as exc:
                log.warning(
                    "%s (%s)",
                    exc,
                    await self._backlog(),
                    exc_info=not isinstance(exc, StorageError),
                )
                self.last_error = exc
                if isinstance(exc, RemoteSilent):
                    self._patience = min(2 * self._patience, _MOST_PATIENCE)

                await self._discard()
                await asyncio.sleep(self._backoff.next_s())
                continue

            self.last_error = None
            self._backoff.reset()
            if self._patience > 1 or self._pushes >= _PUSHES_A_PROCESS:
                self._patience = 1
                await self._discard()

            verify = not await self._woken()

    async def _backlog(self) -> str:
        """How much is not pushed, and since when, for the log."""
        try:
            mark = await self._watermark()
        except StorageError as exc:
            return str(exc)

        return (
            f"not pushed: votes {mark.votes_waiting}, commits {mark.commits_waiting}, "
            f"the oldest since {mark.waiting_since or 'now'}"
        )

    async def _woken(self) -> bool:
        """Wait for a new commit; False when none came within `_VERIFY_EVERY_S`."""
        try:
            async with asyncio.timeout(_VERIFY_EVERY_S):
                await self._wake.wait()
        except TimeoutError:
            return False

        self._wake.clear()

        return True

    async def _push(self, *, verify: bool) -> None:
        """Push what is committed now. With `verify`, push even if the journal says that the remote
        has it: the remote may have been lost, or restored from a backup."""
        mark = await self._watermark()
        if mark.replaced_branch == mark.branch:
            mark = await self._new_branch_for_a_new_history()

        # A new folder each time: Oxen caches what it knows of a path for as long as it runs.
        self._number += 1
        shared = self._shared / f"{self._number:08d}"
        try:
            share = await self._committer.share(shared)
            if verify or share.commit_id != mark.commit_id:
                await self._push_share(share, shared, mark)

            self._pushed_commits = share.commits
            async with self._progress:
                self._progress.notify_all()

            if mark.replaced_branch is not None:
                await self._delete_replaced(mark.replaced_branch)
        finally:
            await self._thread.run(lambda: shutil.rmtree(shared, ignore_errors=True))

    async def _push_share(self, share: Share, path: Path, mark: RemoteWatermark) -> None:
        commits_at_once = COMMITS_AT_ONCE if self._patience == 1 else 1

        def push(to: str) -> None:
            self._started().call(
                RemoteRepository.push, path, branch=to, commits_at_once=commits_at_once
            )

        try:
            await self._thread.run(lambda: push(mark.branch))
        except RemoteMoved as exc:
            free = await self._thread.run(self._free_branch)
            log.warning("%s Votes are pushed to the branch %s from now on.", exc, free)
            await self._journal.run(lambda journal: journal.remote.switch_branch(free))
            await self._thread.run(lambda: push(free))

        self._pushes += 1
        await self._journal.run(
            lambda journal: journal.remote.mark_pushed(
                share.committed_seq,
                commits=share.commits,
                commit_id=share.commit_id,
                shared_at=share.at,
                now=self._now(),
            )
        )
        log.info(
            "pushed the changes up to %d as %s to %s",
            share.committed_seq,
            share.commit_id,
            self._settings.url,
            extra={"changes": [mark.seq + 1, share.committed_seq]},
        )

    async def _new_branch_for_a_new_history(self) -> RemoteWatermark:
        """Push to a free branch from now on: the dataset was made anew, and the branch has what was
        before. The operator has decided that, so the moderators need not be told."""
        free = await self._thread.run(self._free_branch)

        def switch(journal: Journal) -> None:
            journal.remote.switch_branch(free)
            journal.remote.mark_announced(free)

        await self._journal.run(switch)
        log.info("the dataset was made anew: it is pushed to the branch %s from now on", free)

        return await self._watermark()

    async def _delete_replaced(self, branch: str) -> None:
        """Everything is in the new branch: delete the one with the earlier history."""
        process = self._started()
        await self._thread.run(lambda: process.call(RemoteRepository.delete_branch, branch))
        await self._journal.run(lambda journal: journal.remote.mark_replaced())
        log.info("deleted the branch %s of %s", branch, self._settings.url)

    def _free_branch(self) -> str:
        """A name with today's date that no branch of the remote has."""
        dated = f"{self._settings.branch}-{self._now():%Y-%m-%d}"
        names = chain([dated], (f"{dated}-{number}" for number in count(2)))
        process = self._started()

        return next(name for name in names if not process.call(RemoteRepository.has_branch, name))

    def _started(self) -> PusherProcess:
        if self._process is None or not self._process.is_alive():
            self._process = self._start()
            self._process.timeout_s *= self._patience
            self._pushes = 0

        if self._closing:
            raise RemoteUnavailable.while_("starting the pusher", reason="the store is closing")

        return self._process

    async def _watermark(self) -> RemoteWatermark:
        mark = await self._journal.run(lambda journal: journal.remote.watermark())
        assert mark is not None, "the store has set it"

        return mark

    async def _discard(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await self._thread.run(process.close)

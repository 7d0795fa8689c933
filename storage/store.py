"""The vote store: the bot's door to the journal, the spool, the dataset and the remote.

A vote is durable in the journal when `vote` returns, and in the dataset a moment later. Nothing
here blocks the event loop: the journal and the spool have a thread each, the writer and the pusher
a process each.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from storage.arena.store import ArenaStore
from storage.backup import Backup, start_backup
from storage.clock import utc_now
from storage.dataset.committer import REST_S, Committer, WriterProcess
from storage.dataset.layout import image_path
from storage.dataset.memory import MemoryRepository
from storage.dataset.repository import CommitInfo
from storage.dataset.writer import Writer
from storage.dataset.writer_process import RepositorySettings, start_writer
from storage.errors import (
    RepositoryError,
    RepositoryForeign,
    RepositoryInUse,
    RequestForgotten,
    StoreClosing,
)
from storage.files import read_if_there
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.journal.rating.showings import AIMS, Aims
from storage.journal.spool import Spool
from storage.journal.thread import JournalThread
from storage.moderation.store import ModerationStore
from storage.people import Forgotten, Notice
from storage.processes.inline import InlineProcess
from storage.processes.thread import OneThread
from storage.rating.store import RatingStore
from storage.refound import finish_interrupted
from storage.remote.pusher import Pusher, Remote
from storage.remote.takeover import continue_remote
from storage.standing.store import StandingStore
from storage.status import StoreStatus
from storage.upkeep import Upkeep
from storage.vote import (
    NewImage,
    NewSet,
    Rating,
    SetState,
    ShownIn,
    StoredSet,
    VoteOutcome,
    VoterIds,
    is_elsewhere,
    log_press,
)

log = logging.getLogger(__name__)

T = TypeVar("T")


class VoteStore:
    """One open data folder.

    Whatever a returned call recorded survives `kill -9` and a power cut. Every method may raise a
    JournalError (nothing was recorded) or StoreClosing. Cancelling the caller does not undo a call.
    """

    def __init__(
        self,
        *,
        folder: DataFolder,
        journal: JournalThread,
        committer: Committer,
        spool_thread: OneThread,
        figures_thread: OneThread,
        upkeep: Upkeep,
        pusher: Pusher | None,
        aims: Aims,
        clock: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._committer = committer
        self._spool = Spool(folder.spool)
        self._spool_thread = spool_thread
        self._upkeep = upkeep
        self._pusher = pusher
        self._clock = clock
        self._closing = False
        self.moderation = ModerationStore(journal, committer, clock=clock)
        self.arenas = ArenaStore(journal, committer, figures_thread=figures_thread, clock=clock)
        self.standing = StandingStore(
            folder.journal,
            thread=figures_thread,
            journal=journal,
            raters=aims.raters,
            clock=clock,
        )
        self.rating = RatingStore(
            journal,
            committer,
            image=self.image,
            note_certain=self.standing.note_certain,
            aims=aims,
            clock=clock,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        data_dir: Path,
        *,
        repository: RepositorySettings | MemoryRepository,
        keep_unvoted: timedelta,
        keep_requests: timedelta = timedelta.max,
        keep_closed: timedelta = timedelta.max,
        voter_ids: VoterIds = VoterIds.DISCORD,
        aims: Aims = AIMS,
        remote: Remote | None = None,
        commit_every_s: float = 0.0,
        rest_s: float = REST_S,
        commit_timeout_s: float = 60.0,
        flush_timeout_s: float = 20.0,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> AsyncIterator[Self]:
        """Own the data folder until the block ends; then commit and push what is left, for
        `flush_timeout_s` at most. The rest is done after the next start.

        keep_unvoted: how long images without votes are kept. keep_requests: the same of requests
        without votes. keep_closed: the same of those that were cancelled or failed.

        commit_every_s: how long votes may rest in the journal, so that several share a commit.
        rest_s: how long changed votes rest at least. Closing, `settle` and `snapshot` wait for
        neither.

        A MemoryRepository is used on a thread of this process, without a writer process. Raises a
        JournalError, RepositoryForeign, RepositoryInUse, or a RemoteError of `continue_remote`. A
        dataset that cannot be opened for other reasons is tried again later, and `status` says so.
        """
        folder = DataFolder(data_dir)
        async with AsyncExitStack() as stack:
            spool_thread = await stack.enter_async_context(OneThread.open("oxherd-spool"))
            await spool_thread.run(lambda: finish_interrupted(folder))
            journal = await stack.enter_async_context(JournalThread.open(folder.journal))
            figures_thread = await stack.enter_async_context(OneThread.open("oxherd-figures"))
            await _note_remote(remote, journal=journal, now=clock)
            await _note_voter_ids(voter_ids, journal=journal)
            if remote is not None:
                await continue_remote(remote, folder=folder, journal=journal, now=clock)

            committer = await stack.enter_async_context(
                Committer.open(
                    lambda create: _started_writer(
                        folder, repository, timeout_s=commit_timeout_s, create=create
                    ),
                    journal=journal,
                    now=clock,
                    commit_every_s=commit_every_s,
                    rest_s=rest_s,
                )
            )
            pusher = None
            if remote is not None:
                pusher = await stack.enter_async_context(
                    Pusher.open(
                        remote,
                        shared=folder.shared,
                        journal=journal,
                        committer=committer,
                        now=clock,
                    )
                )
                committer.committed = pusher.wake

            upkeep = Upkeep(
                folder,
                journal=journal,
                spool_thread=spool_thread,
                committer=committer,
                keep_unvoted=keep_unvoted,
                keep_requests=keep_requests,
                keep_closed=keep_closed,
                now=clock,
                monotonic=monotonic,
            )
            store = cls(
                folder=folder,
                journal=journal,
                committer=committer,
                spool_thread=spool_thread,
                figures_thread=figures_thread,
                upkeep=upkeep,
                pusher=pusher,
                aims=aims,
                clock=clock,
            )
            await store._resume()
            try:
                async with upkeep.running(note_certain=store.rating.note_certain):
                    yield store
            finally:
                store._closing = True
                if not await store._flush(flush_timeout_s):
                    log.warning(
                        "some votes are not committed or not pushed; the next start does that"
                    )

    # Requests and images

    async def add_request(self, new: NewSet) -> None:
        """Record a request, before anything is done for it."""
        await self._record(lambda journal: journal.add_request(new, now=self._clock()))

    async def set_state(self, set_id: str, state: SetState) -> None:
        """Record the state of a set."""
        await self._record(lambda journal: journal.set_state(set_id, state))

    async def set_message(self, set_id: str, *, channel_id: int, message_id: int) -> None:
        """Record which message shows the set."""
        await self._record(
            lambda journal: journal.set_message(
                set_id, channel_id=channel_id, message_id=message_id
            )
        )

    async def count_try(self, set_id: str, *, by: int) -> None:
        """Record that a worker began the request (1), or that this try does not count (-1)."""
        await self._record(lambda journal: journal.count_try(set_id, by=by))

    async def add_images(
        self,
        set_id: str,
        images: Sequence[NewImage],
        *,
        provenance: Mapping[str, str],
        request: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the images of a set and keep their bytes in the spool.

        provenance: model, revision, scheduler, backend, device and dtype; all other keys go into
        the dataset's column `versions`. request: as it was made, without what had no effect; None
        as it was recorded. Raises RequestForgotten.
        """
        self._refuse_when_closing()
        content = {image.image_id: image.png for image in images if image.withheld is None}
        await self._spool_thread.run(lambda: self._spool.put(content))
        try:
            await self._record(
                lambda journal: journal.add_images(
                    set_id, images, provenance=provenance, request=request, now=self._clock()
                )
            )
        except RequestForgotten:
            await self._spool_thread.run(lambda: self._spool.discard(content))
            raise

    async def spooled(self, image_id: str) -> bytes | None:
        """The bytes of an image that has no vote yet, or None."""
        return await self._spool_thread.run(lambda: self._spool.read(image_id))

    async def image(self, image_id: str) -> bytes | None:
        """The bytes of an image that was posted; None if neither the spool nor the dataset has it.

        Raises RepositoryError.
        """
        png = await self.spooled(image_id)
        shard = await self._journal.run(lambda journal: journal.image_shard(image_id))
        if png is None and shard is not None:
            # Not by the writer at first: it may be in the middle of a commit.
            path = self._folder.dataset / image_path(image_id, shard=shard)
            png = await self._spool_thread.run(lambda: read_if_there(path))
            png = png or await self._committer.image(image_id, shard=shard)

        return png or await self.spooled(image_id)  # a commit may just have moved it there

    async def mark_posted(self, set_id: str, message_id: int) -> None:
        """Record that the set was posted: each of its images gets a row in `generations`."""
        await self._record(
            lambda journal: journal.mark_posted(set_id, message_id=message_id, now=self._clock())
        )
        self._committer.wake()

    async def find_set(
        self, subject: str, *, guild_id: int | None = None, paired: bool = False
    ) -> StoredSet | None:
        """The set with its images; None if there is none. subject: its id, or that of an image.

        guild_id: the server that asks, if it is known; sets of others are unknown there. paired:
        whether it may be of an arena, for moderators to remove it; `subject` may be a pair's id.
        """
        stored = await self._journal.run(lambda journal: journal.find_set(subject, paired=paired))
        if stored is None or is_elsewhere(stored.guild_id, guild_id):
            return None

        return stored

    async def add_copy(self, set_id: str, *, channel_id: int, message_id: int) -> None:
        """Record a message that shows the set again."""
        await self._record(
            lambda journal: journal.add_copy(set_id, channel_id=channel_id, message_id=message_id)
        )

    async def copies(self, set_id: str) -> list[tuple[int, int]]:
        """The messages that show the set again: channel and message."""
        return await self._journal.run(lambda journal: journal.copies(set_id))

    async def unfinished_sets(self) -> list[StoredSet]:
        """Sets that were accepted and are neither posted nor given up, in that order."""
        return await self._journal.run(Journal.unfinished_sets)

    # Votes

    async def vote(
        self,
        image_id: str,
        voter_id: int,
        rating: Rating | None,
        *,
        guild_id: int | None = None,
        shown_in: ShownIn = ShownIn.POST,
        seconds: float | None = None,
    ) -> VoteOutcome:
        """Make `rating` this voter's vote on the image; None removes the vote.

        The same vote again changes nothing. guild_id: the server of the press, if it is known;
        images of others are unknown there. seconds: from being shown to the press; None for a
        press in the channel, where that is counted from the voter's first press on the set on.
        """
        outcome = await self._record(
            lambda journal: journal.vote(
                image_id,
                voter_id,
                rating,
                guild_id=guild_id,
                shown_in=shown_in,
                seconds=seconds,
                now=self._clock(),
            )
        )

        return self._told_committer(outcome)

    async def undo(
        self, image_id: str, voter_id: int, rating: Rating, *, guild_id: int | None = None
    ) -> VoteOutcome:
        """Take back this voter's vote `rating`, so that the one that it replaced counts again, if
        any. If that is not their vote any more, nothing changes."""
        outcome = await self._record(
            lambda journal: journal.undo(
                image_id, voter_id, rating, guild_id=guild_id, now=self._clock()
            )
        )

        return self._told_committer(outcome)

    async def explain(
        self,
        image_id: str,
        voter_id: int,
        rating: Rating,
        reasons: Sequence[str],
        *,
        guild_id: int | None = None,
    ) -> VoteOutcome:
        """Make these the reasons for this voter's vote `rating`, in place of any other. If that is
        not their vote any more, nothing changes."""
        outcome = await self._record(
            lambda journal: journal.explain(
                image_id, voter_id, rating, reasons, guild_id=guild_id, now=self._clock()
            )
        )

        return self._told_committer(outcome)

    # People

    async def forget(self, user_id: int, *, requests: bool) -> Forgotten:
        """Take a person out of the journal at once, and out of the dataset with the next commit.

        requests: also what they asked for, with all images and everybody's votes on them. Requests
        of theirs that are being made should be cancelled before: nothing more is kept of them.
        """
        forgotten = await self._record(
            lambda journal: journal.forget(user_id, requests=requests, now=self._clock())
        )
        await self._spool_thread.run(lambda: self._spool.discard(forgotten.images))
        self._committer.wake()

        return forgotten

    async def notice_due(
        self, user_id: int, guild_id: int | None, *, voting: bool
    ) -> Notice | None:
        """What the person has to be shown before they ask or, if `voting`, before they vote; None
        for nothing."""
        text = await self.moderation.consent_text(guild_id)
        guidelines = await self.moderation.guidelines(guild_id) if voting else None
        if text is None and guidelines is None:  # most servers: votes should not wait for this
            return None

        agreed_to, edition_read = await self._journal.run(
            lambda journal: (
                journal.consents.version_of(user_id, guild_id),
                journal.moderation.guidelines.edition_read(user_id, guild_id),
            )
        )
        if text is not None and text.version == agreed_to:
            text = None

        if guidelines is not None and guidelines.edition <= edition_read:
            guidelines = None

        if text is None and guidelines is None:
            return None

        return Notice(consent=text, guidelines=guidelines)

    async def noticed(
        self, user_id: int, guild_id: int, *, agrees_to: int | None, edition: int | None
    ) -> None:
        """Record that the person agrees to this version of the server's text, and was shown this
        edition of its guidelines; None for neither."""

        def record(journal: Journal) -> None:
            if agrees_to is not None:
                journal.consents.agree(user_id, guild_id, agrees_to, now=self._clock())

            if edition is not None:
                journal.moderation.guidelines.mark_read(user_id, guild_id, edition)

        await self._record(record)

    async def example(self, image_id: str) -> bytes | None:
        """The bytes of an image in the guidelines; None if it was removed or forgotten since.

        Raises RepositoryError.
        """
        if not await self._journal.run(lambda journal: journal.moderation.is_shown(image_id)):
            return None

        return await self.image(image_id)

    async def data_of(self, user_id: int) -> dict[str, Any]:
        """Everything that is kept of a person, as JSON."""
        return await self._journal.run(lambda journal: journal.people.data_of(user_id))

    # The dataset

    async def settle(self, timeout_s: float) -> bool:
        """Wait until everything recorded so far is committed and, with a remote, pushed; False
        after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._committer.settled()
                if self._pusher is not None:
                    await self._pusher.settled()
        except TimeoutError:
            return False

        return True

    async def snapshot(self) -> str | None:
        """Commit all votes and then `train.csv`; the commit's id, None if that has not changed.

        Raises RepositoryError.
        """
        return await self._committer.snapshot()

    async def backup(self, target: Path) -> None:
        """Copy the dataset, the journal and the spool to the folder `target`, made if absent.

        Votes are recorded meanwhile, and committed afterwards. Raises BackupError.
        """
        self._refuse_when_closing()
        async with self._committer.paused(), OneThread.open("oxherd-backup") as thread:
            process = await thread.run(lambda: start_backup(self._folder))
            try:
                await thread.run(lambda: process.call(Backup.write, target))
            finally:
                process.kill()

    async def log(self, limit: int) -> Sequence[CommitInfo]:
        """The newest commits, newest first. Raises RepositoryError."""
        return await self._committer.log(limit)

    async def status(self) -> StoreStatus:
        """A snapshot of the store's state."""
        mark, backlog, missing, pushed, free_bytes = await self._journal.run(
            lambda journal: (
                journal.progress.watermark(),
                journal.progress.backlog(),
                journal.missing.summary(),
                journal.remote.watermark(),
                shutil.disk_usage(self._folder.root).free,
            )
        )
        writer = self._committer.writer
        error = self._committer.last_error
        remote = None
        if self._pusher is not None and pushed is not None:
            remote = self._pusher.status(pushed)

        return StoreStatus(
            votes_waiting=backlog.votes,
            oldest_waiting_at=backlog.oldest_at,
            last_commit_id=mark.commit_id,
            last_commit_at=mark.committed_at,
            last_error=None if error is None else str(error),
            writer_alive=self._committer.is_paused or (writer is not None and writer.is_alive()),
            writer_pid=None if writer is None else writer.pid,
            missing=missing,
            disk_free_bytes=free_bytes,
            remote=remote,
        )

    async def record_alarm(self, at: datetime | None) -> None:
        """Record when the moderators were told that the remote is behind; None: it caught up."""
        await self._journal.run(lambda journal: journal.remote.mark_alarmed(at))

    async def record_announced_branch(self, branch: str) -> None:
        """Record which branch of the remote the moderators were last told of."""
        await self._journal.run(lambda journal: journal.remote.mark_announced(branch))

    async def drop_unvoted(self) -> int:
        """Delete images without a vote that are older than `keep_unvoted`; how many there were.

        The store does this every 10 minutes by itself, once the clock has been steady for an hour.
        """
        return await self._upkeep.drop_unvoted()

    async def erase_old(self) -> None:
        """Take out requests that are older than they are kept. The store does this every hour by
        itself, once the clock has been steady for an hour."""
        await self._upkeep.erase_old()

    # Inside

    def _told_committer(self, outcome: VoteOutcome) -> VoteOutcome:
        log_press(outcome.seq, f"set {outcome.set_id}, image {outcome.slot}: {outcome.kind}")
        if outcome.is_first:
            self._committer.wake()
        elif outcome.kind.changed_something:
            self._committer.wake_after_rest()

        return outcome

    async def _flush(self, timeout_s: float) -> bool:
        """Commit and push the last votes, without waiting for a remote that cannot be reached."""
        if self._pusher is None or self._pusher.last_error is None:
            return await self.settle(timeout_s)

        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._committer.settled()

        return False

    async def _resume(self) -> None:
        """Continue where the last run ended."""
        try:
            await self._committer.start()
        except (RepositoryForeign, RepositoryInUse):
            raise
        except RepositoryError as exc:
            log.warning("%s", exc)
        else:
            # Only now the journal, the dataset and the spool are known to belong together.
            await self._upkeep.sort_spool()

        self._committer.hurry()

    async def _record(self, operation: Callable[[Journal], T]) -> T:
        self._refuse_when_closing()

        return await self._journal.run(operation)

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise StoreClosing.now()


async def _note_remote(
    remote: Remote | None, *, journal: JournalThread, now: Callable[[], datetime]
) -> None:
    if remote is None:
        await journal.run(lambda opened: opened.remote.clear())
    else:
        url, branch = remote.settings.url, remote.settings.branch
        await journal.run(lambda opened: opened.remote.set(url, branch=branch, now=now()))


async def _note_voter_ids(voter_ids: VoterIds, *, journal: JournalThread) -> None:
    def note(opened: Journal) -> None:
        if opened.people.set_voter_ids(voter_ids):
            opened.progress.restart()  # every row of `train` names a voter

    await journal.run(note)


def _started_writer(
    folder: DataFolder,
    repository: RepositorySettings | MemoryRepository,
    *,
    timeout_s: float,
    create: bool,
) -> WriterProcess:
    if isinstance(repository, MemoryRepository):
        writer = Writer(repository, journal=folder.journal, spool=Spool(folder.spool))
        return InlineProcess(writer, close=writer.close)

    return start_writer(folder, repository, timeout_s=timeout_s, create=create)

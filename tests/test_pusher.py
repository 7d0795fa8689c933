"""The pusher's promises, with a remote that does as it is told."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from storage.dataset.committer import Committer
from storage.dataset.memory import MemoryRepository
from storage.dataset.writer import Writer
from storage.errors import RemoteMoved, RemoteSilent, RemoteUnavailable
from storage.folder import DataFolder
from storage.journal.remote_watermark import RemoteWatermark
from storage.journal.spool import Spool
from storage.journal.thread import JournalThread
from storage.processes.backoff import Backoff
from storage.processes.inline import InlineProcess
from storage.remote.pusher import Pusher, Remote
from storage.remote.repository import COMMITS_AT_ONCE
from storage.remote.settings import RemoteSettings
from storage.vote import Rating
from tests.support.remote.scripted_remote import ScriptedProcess, ScriptedRemote
from tests.support.storage.data import NOON, PROVENANCE, Clock, a_set, four_images

PATIENCE_S = 10.0
SETTINGS = RemoteSettings.at("http://127.0.0.1:1/ox/votes", branch="main", token="", create=True)


@dataclass(slots=True)
class HangingRemote(ScriptedRemote):
    """A server that takes a push and never answers."""

    hangs: threading.Event = field(default_factory=threading.Event)
    killed: threading.Event = field(default_factory=threading.Event)

    def push(self, path: Path, *, branch: str, commits_at_once: int = COMMITS_AT_ONCE) -> None:
        self.hangs.set()
        self.killed.wait()
        raise RemoteUnavailable.while_("pushing", reason="it was killed")

    def kill(self) -> None:
        self.killed.set()


class SlowRepository(MemoryRepository):
    """A dataset whose view for a push takes a while to make."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def share(self, path: Path) -> str:
        self.begun.set()
        time.sleep(0.1)  # what the pusher does meanwhile is what the test is about

        return super().share(path)


class Bench:
    """A journal, a committer and a pusher on one folder."""

    def __init__(self, journal: JournalThread, committer: Committer, pusher: Pusher) -> None:
        self.journal = journal
        self.committer = committer
        self.pusher = pusher

    async def vote(self, voter_id: int = 1) -> None:
        """A vote that is committed."""
        await self.journal.run(
            lambda journal: journal.vote("set-0-1", voter_id, Rating.GOOD, now=NOON)
        )
        await self.committer.settled()

    async def pushed(self) -> RemoteWatermark:
        """Everything is on the remote; what the journal says then."""
        async with asyncio.timeout(PATIENCE_S):
            await self.pusher.settled()

        return await self.mark()

    async def mark(self) -> RemoteWatermark:
        mark = await self.journal.run(lambda journal: journal.remote.watermark())
        assert mark is not None

        return mark


@asynccontextmanager
async def following(journal: JournalThread, settings: RemoteSettings) -> AsyncIterator[None]:
    """The remote is this one."""
    await journal.run(
        lambda opened: opened.remote.set(settings.url, branch=settings.branch, now=NOON)
    )
    yield


@asynccontextmanager
async def bench(
    root: Path,
    remote: ScriptedRemote,
    *,
    settings: RemoteSettings = SETTINGS,
    start: Callable[[], ScriptedProcess] | None = None,
    repository: MemoryRepository | None = None,
) -> AsyncIterator[Bench]:
    folder = DataFolder(root)
    repository = repository or MemoryRepository()
    clock = Clock()

    def start_writer(_create: bool) -> InlineProcess[Writer]:
        writer = Writer(repository, journal=folder.journal, spool=Spool(folder.spool))

        return InlineProcess(writer, close=writer.close)

    async with (
        JournalThread.open(folder.journal) as journal,
        following(journal, settings),
        Committer.open(start_writer, journal=journal, now=clock) as committer,
        Pusher.open(
            Remote(settings=settings, start=start or (lambda: ScriptedProcess(remote))),
            shared=folder.shared,
            journal=journal,
            committer=committer,
            now=clock,
            first_pause_s=0.01,
            longest_pause_s=0.02,
        ) as pusher,
    ):
        committer.committed = pusher.wake
        images = four_images()
        Spool(folder.spool).put({image.image_id: image.png for image in images})
        if await journal.run(lambda opened: opened.find_set("set-0")) is None:
            await journal.run(lambda opened: opened.add_request(a_set(), now=NOON))
            await journal.run(
                lambda opened: opened.add_images("set-0", images, provenance=PROVENANCE, now=NOON)
            )

        yield Bench(journal, committer, pusher)


async def test_what_is_committed_is_pushed_by_itself(tmp_path: Path) -> None:
    remote = ScriptedRemote()
    async with bench(tmp_path, remote) as b:
        await b.vote()
        mark = await b.pushed()

    assert remote.branches["main"] >= 1
    assert (mark.commits_waiting, mark.votes_waiting, mark.waiting_since) == (0, 0, None)
    assert mark.pushed_at is not None


async def test_a_remote_that_is_away_is_tried_again_and_the_backlog_is_known(
    tmp_path: Path,
) -> None:
    away = RemoteUnavailable.while_("pushing", reason="nobody answers")
    remote = ScriptedRemote(failures=[away] * 10_000)
    async with bench(tmp_path, remote) as b:
        await b.vote(1)
        await b.vote(2)
        waiting = await b.mark()
        while b.pusher.last_error is None:  # noqa: ASYNC110  # the pusher's own task sets it
            await asyncio.sleep(0.01)

        error = b.pusher.last_error
        remote.failures.clear()
        mark = await b.pushed()

    assert (waiting.votes_waiting, waiting.commits_waiting) == (2, 2)
    assert waiting.waiting_since == NOON
    assert error is away
    assert mark.votes_waiting == 0
    assert remote.closed >= 1  # after an error the next push gets another process


async def test_a_moved_branch_is_left_alone_and_a_dated_one_goes_on(tmp_path: Path) -> None:
    moved = RemoteMoved.at(SETTINGS.url, branch="main")
    remote = ScriptedRemote(branches={"main": 1, "main-2026-05-04": 1}, failures=[moved])
    async with bench(tmp_path, remote) as b:
        await b.vote()
        mark = await b.pushed()

    assert remote.branches["main"] == 1
    assert remote.branches["main-2026-05-04"] == 1
    assert remote.branches["main-2026-05-04-2"] >= 1
    assert (mark.branch, mark.moved) == ("main-2026-05-04-2", True)


async def test_the_branch_in_use_is_remembered_and_another_setting_starts_anew(
    tmp_path: Path,
) -> None:
    moved = RemoteMoved.at(SETTINGS.url, branch="main")
    remote = ScriptedRemote(failures=[moved])
    async with bench(tmp_path, remote) as b:
        await b.vote()
        await b.pushed()

    async with bench(tmp_path, remote) as b:
        assert (await b.mark()).branch == "main-2026-05-04"

    elsewhere = RemoteSettings.at("http://127.0.0.1:1/ox/other", branch="b", token="", create=True)
    async with bench(tmp_path, ScriptedRemote(), settings=elsewhere) as b:
        mark = await b.mark()

    assert (mark.branch, mark.moved) == ("b", False)


async def test_nothing_is_left_behind_of_a_push(tmp_path: Path) -> None:
    away = RemoteUnavailable.while_("pushing", reason="nobody answers")
    async with bench(tmp_path, ScriptedRemote(failures=[away])) as b:
        await b.vote()
        await b.pushed()

    assert list(DataFolder(tmp_path).shared.iterdir()) == []


async def test_the_first_push_after_a_start_asks_the_server_even_if_nothing_is_new(
    tmp_path: Path,
) -> None:
    """It may have been put back from a backup, or emptied."""
    remote = ScriptedRemote()
    async with bench(tmp_path, remote) as b:
        await b.vote()
        await b.pushed()

    before = remote.branches["main"]
    async with bench(tmp_path, remote) as b:
        async with asyncio.timeout(PATIENCE_S):
            while remote.branches["main"] == before:  # noqa: ASYNC110  # the pusher's own task
                await asyncio.sleep(0.01)


async def test_what_a_killed_run_left_of_its_pushes_is_gone_after_a_start(tmp_path: Path) -> None:
    shared = DataFolder(tmp_path).shared
    for number in (1, 9):
        (shared / f"{number:08d}" / ".oxen").mkdir(parents=True)

    async with bench(tmp_path, ScriptedRemote()) as b:
        await b.vote()
        await b.pushed()

    assert list(shared.iterdir()) == []


async def test_after_a_time_out_commits_go_one_at_a_time_with_more_patience(
    tmp_path: Path,
) -> None:
    silent = RemoteSilent.while_("pushing", reason="nothing moved")
    away = RemoteUnavailable.while_("pushing", reason="nobody answers")
    remote = ScriptedRemote(failures=[away, silent, away, silent])
    processes: list[ScriptedProcess] = []

    def start() -> ScriptedProcess:
        processes.append(ScriptedProcess(remote))
        processes[-1].timeout_s = 10.0

        return processes[-1]

    async with bench(tmp_path, remote, start=start) as b:
        await b.vote()
        await b.pushed()
        await b.vote(2)
        await b.pushed()

    # Each failure starts a process; a success ends the patience.
    assert remote.at_once[:6] == [8, 8, 1, 1, 1, 8]
    assert [process.timeout_s for process in processes][:6] == [10, 10, 20, 20, 40, 10]


async def test_sixty_pushes_take_several_processes(tmp_path: Path) -> None:
    """Oxen keeps files of each pushed repository open: 910 after 60 pushes by one process."""
    remote = ScriptedRemote()
    pushes: list[int] = []

    def start() -> ScriptedProcess:
        pushes.append(len(remote.at_once))

        return ScriptedProcess(remote)

    async with bench(tmp_path, remote, start=start) as b:
        for voter_id in range(1, 61):
            await b.vote(voter_id)
            await b.pushed()

    by_process = [later - sooner for sooner, later in itertools.pairwise([*pushes, 60])]
    assert max(by_process) <= 20


async def test_closing_does_not_wait_for_a_push_that_hangs(tmp_path: Path) -> None:
    remote = HangingRemote()
    async with asyncio.timeout(PATIENCE_S):
        async with bench(tmp_path, remote) as b:
            await b.vote()
            assert await asyncio.to_thread(remote.hangs.wait, PATIENCE_S)

    assert remote.killed.is_set()
    assert list(DataFolder(tmp_path).shared.iterdir()) == []


async def test_closing_leaves_nothing_of_a_push_that_had_just_begun(tmp_path: Path) -> None:
    repository = SlowRepository()
    async with bench(tmp_path, ScriptedRemote(), repository=repository):
        assert await asyncio.to_thread(repository.begun.wait, PATIENCE_S)

    assert list(DataFolder(tmp_path).shared.iterdir()) == []


def test_pauses_grow_to_the_longest_and_start_again_after_a_success() -> None:
    backoff = Backoff(first_s=1.0, longest_s=3.0)
    pauses = [backoff.next_s() for _ in range(10_000)]
    backoff.reset()

    assert 0.5 <= pauses[0] <= 1.0
    assert 1.0 <= pauses[1] <= 2.0
    assert all(1.5 <= pause <= 3.0 for pause in pauses[2:])
    assert backoff.next_s() <= 1.0


async def test_a_dataset_that_was_made_anew_gets_a_branch_and_the_old_one_is_deleted(
    tmp_path: Path,
) -> None:
    remote = ScriptedRemote()
    async with bench(tmp_path, remote) as b:
        await b.vote()
        await b.pushed()
        assert set(remote.branches) == {"main"}

        await b.journal.run(lambda journal: journal.remote.mark_refounded(now=NOON))
        await b.vote(2)
        mark = await replaced(b)

    assert set(remote.branches) == {"main-2026-05-04"}
    assert (mark.branch, mark.announced_branch) == ("main-2026-05-04", "main-2026-05-04")
    assert mark.replaced_branch is None


async def test_the_old_branch_is_not_deleted_before_the_new_one_is_complete(
    tmp_path: Path,
) -> None:
    remote = ScriptedRemote()
    async with bench(tmp_path, remote) as b:
        await b.vote()
        await b.pushed()
        await b.journal.run(lambda journal: journal.remote.mark_refounded(now=NOON))
        remote.failures = [RemoteUnavailable.while_("pushing", reason="it is down")]
        await b.vote(2)
        await replaced(b)

    assert remote.failures == []  # the first push to the new branch was refused
    assert remote.deleted == {"main": {"main-2026-05-04"}}
    assert set(remote.branches) == {"main-2026-05-04"}


async def replaced(b: Bench) -> RemoteWatermark:
    """The old branch is deleted; what the journal says then."""
    async with asyncio.timeout(PATIENCE_S):
        while (mark := await b.mark()).replaced_branch is not None:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)

    return mark

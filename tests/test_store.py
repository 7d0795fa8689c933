"""What the bot is promised by the VoteStore."""

import asyncio
import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from storage import offline
from storage.dataset.changes import open_for_reading
from storage.dataset.columns import TRAIN_COLUMNS
from storage.dataset.memory import MemoryRepository
from storage.dataset.repository import Changes
from storage.dataset.writer_process import RepositorySettings
from storage.errors import (
    JournalInUse,
    RepositoryError,
    RepositoryForeign,
    StoreClosing,
)
from storage.folder import DataFolder
from storage.store import VoteStore
from storage.vote import Rating, SetState, VoteKind
from tests.support.storage.data import (
    PROVENANCE,
    Clock,
    a_set,
    dataset,
    files_below,
    four_images,
    read_csv,
)

ALICE, BOB = 1, 2
PATIENCE_S = 30.0
WEEK = timedelta(days=7)

OpenStore = Callable[[], AbstractAsyncContextManager[VoteStore]]


class FullRepository(MemoryRepository):
    """A repository on a disk that is full until somebody makes space."""

    full = True

    def apply(self, changes: Changes) -> None:
        if self.full:
            raise RepositoryError.full(Path("/data/dataset"))

        super().apply(changes)


class TellingRepository(MemoryRepository):
    """Tells when a commit has a vote."""

    def __init__(self) -> None:
        super().__init__()
        self.has_a_vote = threading.Event()

    def commit(self, message: str) -> str | None:
        commit_id = super().commit(message)
        if "train/000/00000.csv" in self.files:
            self.has_a_vote.set()

        return commit_id


@pytest.fixture
def repository() -> MemoryRepository:
    return MemoryRepository()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_store(tmp_path: Path, repository: MemoryRepository, clock: Clock) -> OpenStore:
    return lambda: VoteStore.open(
        tmp_path, repository=repository, keep_unvoted=WEEK, clock=clock, flush_timeout_s=1.0
    )


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[VoteStore]:
    async with open_store() as store:
        yield store


async def show(store: VoteStore, set_id: str = "set-0", *, prompt: str = "a fox") -> list[str]:
    images = four_images(set_id)
    await store.add_request(a_set(set_id, prompt=prompt))
    await store.add_images(set_id, images, provenance=PROVENANCE)
    await store.mark_posted(set_id, 99)

    return [image.image_id for image in images]


async def test_a_vote_is_in_the_dataset_a_moment_later(
    store: VoteStore, repository: MemoryRepository
) -> None:
    image_id, *_ = await show(store)

    outcome = await store.vote(image_id, ALICE, Rating.GOOD)

    assert outcome.kind is VoteKind.RECORDED
    assert await store.settle(PATIENCE_S)
    found = dataset(repository.files)
    assert found.problems == ()
    assert found.ratings == {(image_id, ALICE): Rating.GOOD}
    assert len(found.shown) == 4


async def test_the_first_columns_are_prompt_path_and_rating(
    store: VoteStore, repository: MemoryRepository
) -> None:
    image_id, *_ = await show(store, prompt='=HYPERLINK("x"), "fox"\nline')
    await store.vote(image_id, ALICE, Rating.BAD)
    await store.settle(PATIENCE_S)

    (row,) = read_csv(repository.files["train/000/00000.csv"])
    assert tuple(row) == TRAIN_COLUMNS
    assert list(row.values())[:3] == [
        '\'=HYPERLINK("x"), "fox"\nline',
        f"images/000/00000/{image_id}.png",
        "bad",
    ]
    assert row["voted_at"] == "2026-05-04T12:00:00.000000Z"
    assert (row["model"], row["revision"], row["seed"]) == ("tiny/model", "0123abcd", "1")


async def test_what_was_recorded_is_there_after_a_restart(open_store: OpenStore) -> None:
    async with open_store() as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)

    async with open_store() as store:
        assert (await store.vote(image_id, ALICE, Rating.GOOD)).kind is VoteKind.UNCHANGED
        stored = await store.find_set("set-0")
        assert stored is not None
        assert stored.images[0].image_id == image_id


def resting(
    tmp_path: Path, repository: MemoryRepository, every_s: float
) -> AbstractAsyncContextManager[VoteStore]:
    """A store in which votes rest so long."""
    return VoteStore.open(
        tmp_path, repository=repository, keep_unvoted=WEEK, commit_every_s=every_s
    )


async def test_votes_that_rest_share_a_commit_and_count_as_waiting(
    tmp_path: Path, repository: MemoryRepository
) -> None:
    async with resting(tmp_path, repository, 3600) as store:
        image_ids = await show(store)
        await store.settle(PATIENCE_S)
        before = len(await store.log(100))

        for image_id in image_ids:
            await store.vote(image_id, ALICE, Rating.GOOD)

        assert (await store.status()).votes_waiting == 4
        assert await store.settle(PATIENCE_S)
        assert len(await store.log(100)) == before + 1
        assert (await store.status()).votes_waiting == 0


async def test_a_vote_that_has_rested_is_committed(tmp_path: Path) -> None:
    repository = TellingRepository()
    async with resting(tmp_path, repository, 0.05) as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)

        assert await asyncio.to_thread(repository.has_a_vote.wait, PATIENCE_S)


async def test_a_vote_that_is_toggled_is_committed_once_a_rest(
    tmp_path: Path, repository: MemoryRepository
) -> None:
    async with VoteStore.open(
        tmp_path, repository=repository, keep_unvoted=WEEK, rest_s=0.2
    ) as store:
        image_id, *_ = await show(store)
        await store.settle(PATIENCE_S)
        before = len(await store.log(1000))
        began = time.monotonic()
        for number in range(453):
            if number % 3 == 2:
                await store.undo(image_id, ALICE, Rating.BAD)
                await store.vote(image_id, ALICE, None)
            else:
                await store.vote(image_id, ALICE, (Rating.GOOD, Rating.BAD)[number % 3])

        await store.settle(PATIENCE_S)
        rests = (time.monotonic() - began) / 0.2

        # One for the first vote, one a rest, and one that `settle` asks for.
        assert len(await store.log(1000)) - before <= 1 + rests + 1


async def test_a_first_vote_is_committed_at_once_and_a_change_of_it_rests(tmp_path: Path) -> None:
    repository = TellingRepository()
    async with VoteStore.open(
        tmp_path, repository=repository, keep_unvoted=WEEK, rest_s=3600
    ) as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)
        assert await asyncio.to_thread(repository.has_a_vote.wait, PATIENCE_S)

        before = len(await store.log(1000))
        for rating in [Rating.BAD, None, Rating.GOOD, None] * 25:
            await store.vote(image_id, ALICE, rating)

        await store.vote(image_id, ALICE, Rating.BAD)
        assert (await store.status()).votes_waiting == 1
        assert await store.settle(PATIENCE_S)
        assert len(await store.log(1000)) <= before + 2  # one may have been due already
        assert dataset(repository.files).ratings == {(image_id, ALICE): Rating.BAD}


async def test_a_change_that_rested_is_committed_by_itself(tmp_path: Path) -> None:
    repository = TellingRepository()
    async with VoteStore.open(
        tmp_path, repository=repository, keep_unvoted=WEEK, rest_s=0.05
    ) as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)
        assert await asyncio.to_thread(repository.has_a_vote.wait, PATIENCE_S)
        repository.has_a_vote.clear()

        await store.vote(image_id, ALICE, Rating.BAD)

        assert await asyncio.to_thread(repository.has_a_vote.wait, PATIENCE_S)


async def test_a_snapshot_does_not_wait_for_votes_to_rest(
    tmp_path: Path, repository: MemoryRepository
) -> None:
    async with resting(tmp_path, repository, 3600) as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)

        await store.snapshot()

        assert image_id.encode() in repository.files["train.csv"]


async def test_closing_does_not_wait_for_votes_to_rest(
    tmp_path: Path, repository: MemoryRepository
) -> None:
    async with resting(tmp_path, repository, 3600) as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)

    assert dataset(repository.files).ratings == {(image_id, ALICE): Rating.GOOD}


async def test_closing_waits_for_the_last_commit(
    open_store: OpenStore, repository: MemoryRepository
) -> None:
    async with open_store() as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)

    assert dataset(repository.files).ratings == {(image_id, ALICE): Rating.GOOD}


async def test_a_closed_store_records_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        image_id, *_ = await show(store)

    with pytest.raises(StoreClosing):
        await store.vote(image_id, ALICE, Rating.GOOD)


async def test_sets_of_the_last_run_that_never_ended_are_unfinished(
    open_store: OpenStore,
) -> None:
    async with open_store() as store:
        await store.add_request(a_set("waiting"))
        await store.add_request(a_set("cancelled"))
        await store.set_state("cancelled", SetState.CANCELLED)
        await show(store, "posted")

    async with open_store() as store:
        unfinished = await store.unfinished_sets()

    assert [stored.set_id for stored in unfinished] == ["waiting"]


async def test_many_people_at_once_are_all_recorded(
    store: VoteStore, repository: MemoryRepository
) -> None:
    images = await show(store)

    outcomes = await asyncio.gather(
        *(store.vote(image_id, voter, Rating.GOOD) for image_id in images for voter in range(100))
    )

    assert {outcome.kind for outcome in outcomes} == {VoteKind.RECORDED}
    await store.settle(PATIENCE_S)
    assert len(dataset(repository.files).ratings) == 400


async def test_the_bytes_of_an_image_are_in_the_spool_or_in_the_dataset(
    store: VoteStore, tmp_path: Path, repository: MemoryRepository
) -> None:
    image_id, *_ = await show(store)
    spooled = DataFolder(tmp_path).spool / f"{image_id}.png"
    assert spooled.exists()

    await store.vote(image_id, ALICE, Rating.GOOD)
    await store.settle(PATIENCE_S)
    assert not spooled.exists()
    assert image_id in dataset(repository.files).images

    await store.vote(image_id, ALICE, None)
    await store.settle(PATIENCE_S)
    assert spooled.exists()
    assert dataset(repository.files).images == frozenset()


async def test_unvoted_images_are_dropped_after_their_time_and_their_row_stays(
    store: VoteStore, tmp_path: Path, repository: MemoryRepository, clock: Clock
) -> None:
    voted, unvoted, *_ = await show(store)
    await store.vote(voted, ALICE, Rating.GOOD)
    await store.settle(PATIENCE_S)
    assert await store.drop_unvoted() == 0

    clock.forward(WEEK + timedelta(seconds=1))
    assert await store.drop_unvoted() == 3

    assert list(DataFolder(tmp_path).spool.iterdir()) == []
    assert (await store.vote(unvoted, ALICE, Rating.GOOD)).kind is VoteKind.REMOVED_IMAGE
    assert len(dataset(repository.files).shown) == 4


async def test_kept_for_ever_is_no_error(tmp_path: Path, repository: MemoryRepository) -> None:
    async with VoteStore.open(tmp_path, repository=repository, keep_unvoted=timedelta.max) as store:
        assert await store.drop_unvoted() == 0


async def test_a_full_repository_keeps_nobody_from_voting(tmp_path: Path) -> None:
    repository = FullRepository()
    async with VoteStore.open(tmp_path, repository=repository, keep_unvoted=WEEK) as store:
        image_id, *_ = await show(store)
        outcome = await store.vote(image_id, ALICE, Rating.GOOD)
        assert not await store.settle(0.2)
        status = await store.status()

        repository.full = False
        assert await store.settle(PATIENCE_S)
        later = await store.status()

    assert outcome.kind is VoteKind.RECORDED
    assert status.votes_waiting == 1
    assert status.oldest_waiting_at is not None
    assert status.last_error is not None
    assert "full" in status.last_error
    assert (later.votes_waiting, later.last_error) == (0, None)
    assert dataset(repository.files).ratings == {(image_id, ALICE): Rating.GOOD}


async def test_a_snapshot_holds_all_votes_so_far(
    store: VoteStore, repository: MemoryRepository
) -> None:
    images = await show(store)
    for image_id in images:
        await store.vote(image_id, ALICE, Rating.GOOD)

    commit_id = await store.snapshot()

    assert (await store.log(1))[0].id == commit_id
    assert len(read_csv(repository.files["train.csv"])) == 4
    assert await store.snapshot() is None


async def test_a_dataset_that_was_thrown_away_is_made_again(
    tmp_path: Path, repository: MemoryRepository
) -> None:
    async with VoteStore.open(tmp_path, repository=repository, keep_unvoted=WEEK) as store:
        images = await show(store)
        await store.vote(images[0], ALICE, Rating.GOOD)
        await store.vote(images[0], ALICE, None)
        await store.settle(PATIENCE_S)

    another = MemoryRepository()
    async with VoteStore.open(tmp_path, repository=another, keep_unvoted=WEEK) as store:
        assert await store.settle(PATIENCE_S)

    assert dataset(another.files).shown == set(images)


async def test_two_stores_on_one_folder_are_one_too_many(
    store: VoteStore, open_store: OpenStore
) -> None:
    with pytest.raises(JournalInUse, match=str(os.getpid())):
        async with open_store():
            pass


# With the real repository


@asynccontextmanager
async def oxen_store(data_dir: Path) -> AsyncIterator[VoteStore]:
    async with VoteStore.open(
        data_dir, repository=RepositorySettings(), keep_unvoted=WEEK
    ) as store:
        yield store


async def test_votes_become_commits_of_a_real_repository(tmp_path: Path) -> None:
    async with oxen_store(tmp_path) as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)
        assert await store.settle(PATIENCE_S)
        status = await store.status()
        commits = await store.log(10)

    found = dataset(files_below(DataFolder(tmp_path).dataset))
    assert found.problems == ()
    assert found.ratings == {(image_id, ALICE): Rating.GOOD}
    assert status.writer_alive
    assert commits[0].id == status.last_commit_id
    assert commits[-1].message == "dataset card"


async def test_a_writer_that_is_killed_is_replaced_and_loses_nothing(tmp_path: Path) -> None:
    async with oxen_store(tmp_path) as store:
        images = await show(store)
        for voter in range(5):
            pid = (await store.status()).writer_pid
            await asyncio.gather(*(store.vote(image, voter, Rating.GOOD) for image in images))
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        assert await store.settle(PATIENCE_S)
        assert (await store.status()).last_error is None

    found = dataset(files_below(DataFolder(tmp_path).dataset))
    assert found.problems == ()
    assert len(found.ratings) == 20


async def test_a_question_given_up_while_the_writer_starts_harms_nothing(tmp_path: Path) -> None:
    async with oxen_store(tmp_path) as store:
        image_id, *_ = await show(store)
        for delay_s in (0.0, 0.02, 0.1, 0.3):
            pid = (await store.status()).writer_pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):  # the one before is gone already
                    os.kill(pid, signal.SIGKILL)

            question = asyncio.ensure_future(store.log(1))
            await asyncio.wait([question], timeout=delay_s)
            question.cancel()
            await asyncio.gather(question, return_exceptions=True)

        await store.vote(image_id, ALICE, Rating.GOOD)
        assert await store.settle(PATIENCE_S)
        assert (await store.log(1))[0].message.startswith("1 vote: 1 good")


async def test_which_labels_are_certain_is_noted_where_somebody_rates(
    store: VoteStore, tmp_path: Path
) -> None:
    agreed, disputed, *_ = await show(store)
    for voter in range(1, 5):
        await store.vote(agreed, voter, Rating.GOOD)
        await store.vote(disputed, voter, Rating.GOOD if voter % 2 else Rating.BAD)

    def noted() -> list[int | None]:
        with open_for_reading(DataFolder(tmp_path).journal) as journal:
            found = journal.execute("SELECT certain FROM images ORDER BY slot")
            return [certain for (certain,) in found]

    await store.rating.note_certain()
    before = noted()
    await store.rating.begin(9, a_set().guild_id)
    await store.rating.note_certain()

    assert before == [None] * 4
    assert noted() == [True, False, None, None]


async def test_settling_does_not_wait_for_votes_that_come_later(store: VoteStore) -> None:
    image_id, *_ = await show(store)
    pressing = asyncio.create_task(press_for_ever(store, image_id))
    await store.vote(image_id, ALICE, Rating.GOOD)

    settled = await store.settle(PATIENCE_S)
    snapshot = await store.snapshot()

    pressing.cancel()
    assert settled
    assert snapshot is not None


async def press_for_ever(store: VoteStore, image_id: str) -> None:
    for voter in itertools.count(100):
        await store.vote(image_id, voter, Rating.BAD)


async def test_a_foreign_dataset_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "thesis.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(RepositoryForeign):
        async with oxen_store(tmp_path):
            pass


async def test_offline_checks_work_when_no_bot_runs_and_only_then(tmp_path: Path) -> None:
    async with oxen_store(tmp_path) as store:
        image_id, *_ = await show(store)
        await store.vote(image_id, ALICE, Rating.GOOD)
        await store.settle(PATIENCE_S)
        with pytest.raises(JournalInUse):
            await asyncio.to_thread(offline.check_journal, tmp_path)

    journal = await asyncio.to_thread(offline.check_journal, tmp_path)
    repository = await asyncio.to_thread(offline.check_repository, tmp_path, RepositorySettings())

    assert "0 votes wait" in journal
    assert "opens" in repository

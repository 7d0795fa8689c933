"""Parts of the data folder that are lost, or restored from a backup, are noticed; nothing is
deleted before it is known that they belong together."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from storage.dataset.memory import MemoryRepository
from storage.dataset.writer_process import RepositorySettings
from storage.errors import JournalError, RepositoryForeign
from storage.folder import DataFolder
from storage.store import VoteStore
from storage.vote import Rating
from tests.support.storage.data import PROVENANCE, Clock, a_set, four_images

ALICE, BOB = 1, 2
PATIENCE_S = 60.0
WEEK = timedelta(days=7)


@asynccontextmanager
async def opened(
    data: Path, *, repository: MemoryRepository | None = None, clock: Clock | None = None
) -> AsyncIterator[VoteStore]:
    clock = clock or Clock()
    async with VoteStore.open(
        data,
        repository=repository or RepositorySettings(),
        keep_unvoted=WEEK,
        clock=clock,
        monotonic=clock.monotonic,
    ) as store:
        yield store


async def show(store: VoteStore, set_id: str) -> list[str]:
    images = four_images(set_id)
    await store.add_request(a_set(set_id))
    await store.add_images(set_id, images, provenance=PROVENANCE)
    await store.mark_posted(set_id, 99)

    return [image.image_id for image in images]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a vote on `set-0-1` and 19 images without a vote."""
    data = tmp_path_factory.mktemp("used")

    async def use() -> None:
        async with opened(data) as store:
            for number in range(5):
                await show(store, f"set-{number}")

            await store.vote("set-0-1", ALICE, Rating.GOOD)
            assert await store.settle(PATIENCE_S)

    asyncio.run(use())

    return data


@pytest.fixture
def folder(used: Path, tmp_path: Path) -> DataFolder:
    return DataFolder(shutil.copytree(used, tmp_path / "data"))


def spooled(folder: DataFolder) -> set[str]:
    return {path.stem for path in folder.spool.glob("*.png")}


def lose(journal: Path) -> None:
    for path in journal.parent.glob(f"{journal.name}*"):
        path.unlink()


def empty(journal: Path) -> None:
    lose(journal)
    journal.touch()


def garble(journal: Path) -> None:
    lose(journal)
    journal.write_bytes(b"not a database" * 1000)


@pytest.mark.parametrize(
    ("harm", "error"),
    [(lose, RepositoryForeign), (empty, RepositoryForeign), (garble, JournalError)],
    ids=["missing", "empty", "not a database"],
)
async def test_nothing_is_deleted_for_a_journal_that_is_not_the_dataset_s(
    folder: DataFolder, harm: Callable[[Path], None], error: type[Exception]
) -> None:
    harm(folder.journal)

    with pytest.raises(error, match="rebuild-journal"):
        async with opened(folder.root):
            pass

    assert len(spooled(folder)) == 19


async def test_images_that_the_journal_does_not_know_are_set_aside_and_come_back(
    folder: DataFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = spooled(folder)
    await asyncio.to_thread(shutil.copytree, folder.root, tmp_path / "backup")
    lose(folder.journal)

    async with opened(folder.root, repository=MemoryRepository()):
        aside = {path.stem for path in folder.set_aside.iterdir()}

    assert (aside, spooled(folder)) == (before, set())
    assert "19 images" in caplog.text
    assert str(folder.set_aside) in caplog.text

    lose(folder.journal)
    shutil.copy(tmp_path / "backup" / folder.journal.name, folder.journal)
    async with opened(folder.root):
        assert spooled(folder) == before


async def test_images_that_were_set_aside_are_kept_as_long_as_images_without_votes(
    folder: DataFolder,
) -> None:
    lose(folder.journal)
    clock = Clock()

    async with opened(folder.root, repository=MemoryRepository(), clock=clock) as store:
        clock.forward(WEEK - timedelta(seconds=1))
        await store.drop_unvoted()
        kept = len(list(folder.set_aside.iterdir()))
        clock.forward(timedelta(seconds=2))
        await store.drop_unvoted()

    assert kept == 19
    assert list(folder.set_aside.iterdir()) == []


async def test_a_clock_that_jumps_ahead_deletes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    async with opened(tmp_path, repository=MemoryRepository(), clock=clock) as store:
        await show(store, "set-0")
        clock.forward(timedelta(hours=2))
        clock.jump(timedelta(days=40))
        await store._upkeep.drop_by_age()
        during = spooled(DataFolder(tmp_path))
        clock.jump(-timedelta(days=40))
        await store._upkeep.drop_by_age()
        clock.forward(timedelta(days=8))
        await store._upkeep.drop_by_age()

    assert len(during) == 4
    assert "the clock jumped by 40 days" in caplog.text
    assert spooled(DataFolder(tmp_path)) == set()


async def test_a_clock_that_is_ahead_at_the_start_has_an_hour_to_be_put_right(
    tmp_path: Path,
) -> None:
    clock = Clock()
    async with opened(tmp_path, repository=MemoryRepository(), clock=clock) as store:
        await show(store, "set-0")

    clock.jump(timedelta(days=40))
    async with opened(tmp_path, repository=MemoryRepository(), clock=clock) as store:
        await store._upkeep.drop_by_age()
        clock.forward(timedelta(minutes=10))
        await store._upkeep.drop_by_age()
        clock.jump(-timedelta(days=40))
        await store._upkeep.drop_by_age()

    assert len(spooled(DataFolder(tmp_path))) == 4

"""Parts of the data folder that are lost, or restored from a backup, are noticed; nothing is
deleted before it is known that they belong together."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from storage import offline
from storage.dataset import committer
from storage.dataset.card import journal_of
from storage.dataset.memory import MemoryRepository
from storage.dataset.writer_process import RepositorySettings
from storage.errors import BackupError, JournalError, RepositoryError, RepositoryForeign
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import Journal
from storage.store import VoteStore
from storage.vote import Rating, VoteKind
from tests.support.remote.bench import show
from tests.support.storage import kept_dataset
from tests.support.storage.data import Clock, dataset, files_below

pytestmark = pytest.mark.stalls("the test itself copies, deletes and reads folders")

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


async def test_a_deleted_dataset_is_made_again_as_far_as_bytes_exist(
    folder: DataFolder, caplog: pytest.LogCaptureFixture
) -> None:
    image = folder.dataset / "images" / "000" / "00000" / "set-0-1.png"
    content = image.read_bytes()
    shutil.rmtree(folder.dataset)

    async with opened(folder.root) as store:
        await store.vote("set-0-1", BOB, Rating.BAD)
        await store.vote("set-0-2", BOB, Rating.BAD)
        assert await store.settle(PATIENCE_S)
        status = await store.status()
        await store.snapshot()

    without = dataset(files_below(folder.dataset))
    assert without.problems == ()
    assert without.ratings == {("set-0-2", BOB): Rating.BAD}
    assert len(without.shown) == 20
    assert b"set-0-2" in (folder.dataset / "train.csv").read_bytes()
    assert (status.missing.image_ids, status.missing.votes) == (("set-0-1",), 2)
    assert "set-0-1" in caplog.text
    assert "set-0-1" in str(await asyncio.to_thread(offline.check_images, folder.root))

    folder.spool.joinpath("set-0-1.png").write_bytes(content)
    async with opened(folder.root) as store:
        assert await store.settle(PATIENCE_S)

    complete = dataset(files_below(folder.dataset))
    assert complete.problems == ()
    assert complete.ratings == {
        ("set-0-1", ALICE): Rating.GOOD,
        ("set-0-1", BOB): Rating.BAD,
        ("set-0-2", BOB): Rating.BAD,
    }


async def test_a_dataset_from_a_backup_is_brought_up_to_the_journal(
    folder: DataFolder, tmp_path: Path
) -> None:
    await asyncio.to_thread(shutil.copytree, folder.dataset, tmp_path / "backup")
    async with opened(folder.root) as store:
        await store.vote("set-0-1", BOB, Rating.BAD)
        await store.vote("set-0-2", BOB, Rating.BAD)
        await store.vote("set-0-3", ALICE, Rating.GOOD)
        await store.vote("set-0-3", ALICE, None)
        await show(store, "set-new")
        assert await store.settle(PATIENCE_S)

    shutil.rmtree(folder.dataset)
    shutil.move(tmp_path / "backup", folder.dataset)
    async with opened(folder.root) as store:
        await store.vote("set-1-1", BOB, Rating.GOOD)
        assert await store.settle(PATIENCE_S)
        status = await store.status()

    found = dataset(files_below(folder.dataset))
    assert found.problems == ()
    assert found.ratings == {
        ("set-0-1", ALICE): Rating.GOOD,
        ("set-0-1", BOB): Rating.BAD,
        ("set-1-1", BOB): Rating.GOOD,
    }
    assert len(found.shown) == 24
    assert (status.missing.image_ids, status.missing.votes) == (("set-0-2",), 1)


async def test_an_image_deleted_from_the_dataset_is_put_back_from_its_last_commit(
    folder: DataFolder,
) -> None:
    shutil.rmtree(folder.dataset / "images")

    async with opened(folder.root) as store:
        await store.vote("set-0-1", BOB, Rating.BAD)
        assert await store.settle(PATIENCE_S)
        status = await store.status()

    found = dataset(files_below(folder.dataset))
    assert found.problems == ()
    assert found.ratings == {("set-0-1", ALICE): Rating.GOOD, ("set-0-1", BOB): Rating.BAD}
    assert status.missing.images == 0


async def test_a_journal_older_than_its_dataset_is_refused_and_can_be_made_anew(
    folder: DataFolder, tmp_path: Path
) -> None:
    older = tmp_path / "older.sqlite3"
    shutil.copy(folder.journal, older)
    async with opened(folder.root) as store:
        for number in (0, 1):
            await store.vote(f"set-{number}-2", BOB, Rating.BAD)
            assert await store.settle(PATIENCE_S)

    lose(folder.journal)
    shutil.copy(older, folder.journal)
    with pytest.raises(RepositoryForeign, match=r"older than its dataset.*rebuild-journal"):
        async with opened(folder.root):
            pass

    found = await asyncio.to_thread(offline.rebuild_journal, folder.root, RepositorySettings())
    for _ in range(2):
        async with opened(folder.root) as store:
            await store.vote("set-0-1", ALICE, None)
            await store.vote("set-4-4", ALICE, Rating.GOOD)
            assert await store.settle(PATIENCE_S)

    assert (found.votes, found.images, found.shown) == (3, 3, 20)
    assert (folder.set_aside / "journal-1" / "journal.sqlite3").read_bytes() == older.read_bytes()
    kept = dataset(files_below(folder.dataset))
    assert kept.problems == ()
    assert kept.ratings == {
        **{(f"set-{number}-2", BOB): Rating.BAD for number in (0, 1)},
        ("set-4-4", ALICE): Rating.GOOD,
    }
    assert "set-0-1" in spooled(folder)


async def test_a_lost_journal_is_made_anew_from_the_dataset_and_the_spool(
    folder: DataFolder,
) -> None:
    before = spooled(folder)
    lose(folder.journal)

    await asyncio.to_thread(offline.rebuild_journal, folder.root, RepositorySettings())
    async with opened(folder.root) as store:
        again = await store.vote("set-0-1", ALICE, Rating.GOOD)
        new = await store.vote("set-3-3", ALICE, Rating.GOOD)
        assert await store.settle(PATIENCE_S)

    assert (again.kind, new.kind) == (VoteKind.UNCHANGED, VoteKind.RECORDED)
    assert spooled(folder) == before - {"set-3-3"}
    assert dataset(files_below(folder.dataset)).problems == ()


async def test_a_rebuilding_that_was_interrupted_stops_the_start_and_is_done_again(
    folder: DataFolder,
) -> None:
    with JournalFile.replace(folder.journal, set_aside=folder.set_aside) as file:
        journal_id = journal_of((folder.dataset / "README.md").read_text(encoding="utf-8"))
        assert journal_id is not None
        with file.transaction():
            Journal(file.connection).follow(journal_id)

    with pytest.raises(RepositoryForeign, match="rebuild-journal"):
        async with opened(folder.root):
            pass

    found = await asyncio.to_thread(offline.rebuild_journal, folder.root, RepositorySettings())

    assert found.votes == 1
    assert len(spooled(folder)) == 19


async def test_a_dataset_deleted_while_the_bot_runs_is_not_half_made_again(
    folder: DataFolder, tmp_path: Path
) -> None:
    async with opened(folder.root) as store:
        folder.dataset.rename(tmp_path / "away")
        outcome = await store.vote("set-0-2", BOB, Rating.BAD)
        with pytest.raises(RepositoryError, match="is gone"):
            await store.snapshot()

        status = await store.status()
        left = folder.dataset.exists()
        (tmp_path / "away").rename(folder.dataset)
        assert await store.settle(PATIENCE_S)

    assert outcome.kind is VoteKind.RECORDED
    assert status.votes_waiting == 1
    assert "is gone" in str(status.last_error)
    assert not left
    found = dataset(files_below(folder.dataset))
    assert found.problems == ()
    assert found.ratings == {("set-0-1", ALICE): Rating.GOOD, ("set-0-2", BOB): Rating.BAD}


async def test_a_dataset_that_goes_while_nobody_votes_is_noticed_by_itself(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(committer, "_LOOK_EVERY_S", 0.01)
    async with opened(folder.root) as store:
        folder.dataset.rename(folder.root / "gone")  # at once: the writer may be making files
        async with asyncio.timeout(PATIENCE_S):
            while (await store.status()).last_error is None:  # noqa: ASYNC110  # the committer's
                await asyncio.sleep(0.01)

    assert "is gone. Votes wait in the journal" in caplog.text
    assert not folder.dataset.exists()


async def test_what_a_person_changes_in_the_dataset_is_put_right_and_never_committed(
    folder: DataFolder, caplog: pytest.LogCaptureFixture
) -> None:
    train, shown = (
        folder.dataset / "train/000/00000.csv",
        folder.dataset / "generations/000/00000.csv",
    )
    strays = ("thesis.txt", "train/000/notes.csv", "images/000/00000/cat.png")
    before = train.read_bytes(), shown.read_bytes()
    train.write_bytes(before[0].replace(b"good", b"bad"))
    for stray in strays:
        (folder.dataset / stray).write_text("mine", encoding="utf-8")

    async with opened(folder.root) as store:
        put_back = train.read_bytes()
        shown.write_bytes(b"")
        train.write_bytes(before[0].replace(b"good", b"bad"))
        await store.snapshot()
        for slot in (2, 3, 4):
            await store.vote(f"set-0-{slot}", BOB, Rating.BAD)

        assert await store.settle(PATIENCE_S)

    assert put_back == before[0]
    assert shown.read_bytes() == before[1]
    assert (
        caplog.text.count("train/000/00000.csv in the dataset differed from the last commit") == 2
    )
    assert caplog.text.count("generations/000/00000.csv in the dataset differed") == 1
    for stray in strays:
        (folder.dataset / stray).unlink()

    assert dataset(files_below(folder.dataset)).problems == ()
    assert b"bad" not in (folder.dataset / "train.csv").read_bytes()
    problems, _ = await kept_dataset.ask_oxen(folder.dataset)
    assert problems == []


async def test_a_backup_of_a_running_bot_is_a_data_folder_of_its_own(
    folder: DataFolder, tmp_path: Path
) -> None:
    copy = DataFolder(tmp_path / "backups" / "today")
    async with opened(folder.root) as store:
        voting = asyncio.create_task(vote_for_ever(store))
        await store.backup(copy.root)
        voting.cancel()
        with pytest.raises(BackupError, match="is not empty"):
            await store.backup(copy.root)

        after = await store.vote("set-4-4", BOB, Rating.GOOD)
        assert await store.settle(PATIENCE_S)

    assert after.kind is VoteKind.RECORDED
    shutil.rmtree(folder.root)
    async with opened(copy.root) as store:
        assert await store.settle(PATIENCE_S)
        again = await store.vote("set-0-1", ALICE, Rating.GOOD)
        new = await store.vote("set-4-4", BOB, Rating.GOOD)
        assert await store.settle(PATIENCE_S)
        status = await store.status()

    assert (again.kind, new.kind) == (VoteKind.UNCHANGED, VoteKind.RECORDED)
    assert status.missing.images == 0
    restored = dataset(files_below(copy.dataset))
    assert restored.problems == ()
    assert restored.ratings["set-0-1", ALICE] is Rating.GOOD
    assert restored.images | spooled(copy) == {
        f"set-{n}-{m}" for n in range(5) for m in range(1, 5)
    }
    problems, _ = await kept_dataset.ask_oxen(copy.dataset)
    assert problems == []


async def vote_for_ever(store: VoteStore) -> None:
    for voter in itertools.count(100):
        await store.vote(f"set-{voter % 4}-{voter % 3 + 1}", voter, Rating.BAD)
        await asyncio.sleep(0.01)  # a busy server's pace


async def test_a_stopped_bot_is_backed_up_too(folder: DataFolder, tmp_path: Path) -> None:
    copy = DataFolder(tmp_path / "copy")

    await asyncio.to_thread(offline.backup, folder.root, copy.root)

    assert spooled(copy) == spooled(folder)
    assert files_below(copy.dataset) == files_below(folder.dataset)
    assert "0 votes wait" in await asyncio.to_thread(offline.check_journal, copy.root)


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

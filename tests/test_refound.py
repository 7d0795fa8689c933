"""A dataset that is made anew has no history, every vote, and takes the old one's place at once."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from storage import offline, refound
from storage.dataset.card import CardFacts, render
from storage.dataset.writer_process import RepositorySettings
from storage.errors import JournalInUse, RefoundError
from storage.files import sync
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import Journal
from storage.journal.watermark import Refounded
from storage.store import VoteStore
from storage.vote import Choice, Rating, ShownIn
from tests.support.storage.data import NOON, PROVENANCE, dataset, files_below, four_images
from tests.support.storage.traces import traces
from tests.test_arena_journal import NEW, ORDER, a_pair
from tests.test_forgetting import OTHER, PERSON, SECRET, secret_set
from tests.test_store import PATIENCE_S, WEEK, show

pytestmark = pytest.mark.stalls("starts processes")

REPOSITORY = RepositorySettings()
MADE = Refounded(committed_seq=9, commits=2, commit_id="f" * 32)


def open_store(root: Path) -> AbstractAsyncContextManager[VoteStore]:
    return VoteStore.open(root, repository=REPOSITORY, keep_unvoted=WEEK)


async def two_people(root: Path) -> dict[tuple[str, int], Rating]:
    """A dataset with a history in which a person was forgotten; what the others voted."""
    async with open_store(root) as store:
        await show(store, "others")
        for image, voter in (("others-1", PERSON), ("others-1", OTHER), ("others-2", PERSON)):
            await store.vote(image, voter, Rating.GOOD)

        await store.add_request(secret_set("theirs"))
        assert await store.settle(PATIENCE_S)
        await store.forget(PERSON, requests=True)
        await store.vote("others-3", OTHER, Rating.BAD)

    return {("others-1", OTHER): Rating.GOOD, ("others-3", OTHER): Rating.BAD}


def history(root: Path) -> list[str]:
    return [commit.message for commit in offline.log(root, REPOSITORY, limit=100)]


async def test_a_new_dataset_has_every_vote_and_no_trace_of_who_was_forgotten(
    tmp_path: Path,
) -> None:
    root = tmp_path / "data"
    votes = await two_people(root)
    found = traces(root, user_id=PERSON, prompt=SECRET)
    assert found
    assert all(".oxen" in trace for trace in found)  # the history has them

    made = await asyncio.to_thread(refound.refound, root, REPOSITORY)

    assert traces(root, user_id=PERSON, prompt=SECRET) == []
    after = dataset(files_below(root / "dataset"))
    assert (after.ratings, after.problems) == (votes, ())
    assert not (root / "dataset.replaced").exists()
    messages = await asyncio.to_thread(history, root)
    assert len(messages) == made.commits
    assert not any("forgotten" in message for message in messages)

    async with open_store(root) as store:
        await store.vote("others-4", OTHER, Rating.GOOD)
        assert await store.settle(PATIENCE_S)
        with pytest.raises(JournalInUse):
            await asyncio.to_thread(refound.refound, root, REPOSITORY)

    after = dataset(files_below(root / "dataset"))
    assert set(after.ratings) == {*votes, ("others-4", OTHER)}
    assert after.problems == ()


async def test_images_that_only_the_remote_has_are_not_lost(tmp_path: Path) -> None:
    root = tmp_path / "data"
    await two_people(root)
    with JournalFile.open(root / "journal.sqlite3") as file, file.transaction():
        file.connection.execute("UPDATE images SET remote_only = 1 WHERE image_id = 'others-1'")

    [image] = (root / "dataset").glob("images/*/*/others-1.png")
    content = image.read_bytes()
    for version in (root / "dataset" / ".oxen" / "versions").rglob("*"):
        if version.is_file() and version.read_bytes() == content:
            version.unlink()

    for wrong in (None, b"somebody else's"):
        image.unlink(missing_ok=True)
        if wrong is not None:
            image.write_bytes(wrong)

        with pytest.raises(RefoundError, match=r"not on this host \(1, such as images/"):
            await asyncio.to_thread(refound.refound, root, REPOSITORY)

    image.unlink(missing_ok=True)
    image.write_bytes(content)
    await asyncio.to_thread(refound.refound, root, REPOSITORY)

    assert dataset(files_below(root / "dataset")).problems == ()


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """An old dataset, and beside it the new one, which is complete."""
    folder = DataFolder(tmp_path)
    with JournalFile.open(folder.journal) as file, file.transaction():
        journal = Journal(file.connection)
        journal_id = journal.id()
        journal.remote.set("http://127.0.0.1:1/ox/votes", branch="main", now=NOON)
        journal.progress.note_refounded(MADE)

    for path, name in ((folder.dataset, "old"), (folder.refounding, "new")):
        path.mkdir()
        (path / "README.md").write_text(render(CardFacts(), journal_id=journal_id))
        (path / name).touch()

    return folder


@pytest.mark.parametrize("step", range(7))
def test_a_new_dataset_is_put_in_place_whatever_is_killed(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    steps = 0

    def killed(function: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps == step:
                raise Killed

            return function(*arguments, **options)

        return run

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed(shutil.rmtree))
        patched.setattr(Path, "replace", killed(Path.replace))
        patched.setattr("storage.refound.sync", killed(sync))
        patched.setattr(JournalFile, "transaction", killed(JournalFile.transaction))
        try:
            refound.finish_interrupted(folder)
        except Killed:
            pass
        else:
            assert step in (0, 6)  # all steps are known

    refound.finish_interrupted(folder)

    assert (folder.dataset / "new").exists()
    assert not folder.replaced.exists()
    assert not folder.refounding.exists()
    with JournalFile.open(folder.journal) as file:
        journal = Journal(file.connection)
        assert journal.progress.refounded() is None
        assert journal.progress.watermark().commit_id == MADE.commit_id
        mark = journal.remote.watermark()
        assert mark is not None
        assert (mark.replaced_branch, mark.commit_id) == ("main", None)


def test_a_new_dataset_that_is_not_complete_is_thrown_away(folder: DataFolder) -> None:
    with JournalFile.open(folder.journal) as file, file.transaction():
        file.connection.execute("DELETE FROM refounded")

    refound.finish_interrupted(folder)

    assert (folder.dataset / "old").exists()
    assert not folder.refounding.exists()


def test_nothing_is_deleted_beside_a_journal_that_knows_nothing_of_it(folder: DataFolder) -> None:
    folder.journal.unlink()
    folder.dataset.rename(folder.replaced)

    refound.finish_interrupted(folder)

    assert (folder.replaced / "old").exists()
    assert (folder.refounding / "new").exists()


async def test_votes_in_arenas_and_their_images_are_in_the_new_dataset_too(tmp_path: Path) -> None:
    root = tmp_path / "data"
    async with open_store(root) as store:
        await store.arenas.open(NEW, [a_pair(0)], ORDER)
        for side in ("left-0", "right-0"):
            await store.add_images(side, four_images(side)[:1], provenance=PROVENANCE)

        await store.arenas.vote(
            "pair-0", OTHER, Choice.LEFT, guild_id=NEW.guild_id, shown_in=ShownIn.POST
        )
        state = await store.arenas.state(NEW.guild_id)
        assert state is not None
        await store.arenas.close(state.arena, ORDER, stopped=True)
        assert await store.settle(PATIENCE_S)

    before = tables(root)
    await asyncio.to_thread(refound.refound, root, REPOSITORY)

    assert [path.partition("/")[0] for path in sorted(before)] == [
        *("README.md", "arena", "generations", "images", "images")
    ]
    assert tables(root) == before


def tables(root: Path) -> dict[str, bytes]:
    """The dataset's files, without the cards of its folders."""
    found = files_below(root / "dataset")

    return {path: content for path, content in found.items() if path.count("/") != 1}

"""What one commit changes, and that a backlog cut into pieces is right after every piece."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from storage.dataset.changes import BATCH_IMAGES, BATCH_SHARDS
from storage.dataset.memory import MemoryRepository
from storage.dataset.repository import CommitInfo
from storage.errors import RepositoryForeign
from storage.folder import DataFolder
from storage.journal.shards import ShardSizes
from storage.vote import Rating
from tests.support.storage.data import dataset
from tests.support.storage.desk import Desk, Station

ALICE, BOB = 1, 2


@pytest.fixture
def repository() -> MemoryRepository:
    return MemoryRepository()


@pytest.fixture
def desk(tmp_path: Path, repository: MemoryRepository) -> Iterator[Desk]:
    """Every row in a file of its own."""
    with Desk.open(
        DataFolder(tmp_path), lambda: repository, shard_sizes=ShardSizes(train_rows=1)
    ) as desk:
        yield desk


def test_votes_that_wait_share_one_commit(desk: Desk, repository: MemoryRepository) -> None:
    images = desk.show("set-0")
    for image_id in images:
        desk.vote(image_id, ALICE, Rating.GOOD)

    desk.vote(images[0], BOB, Rating.BAD)
    desk.settle()

    (commit,) = repository.log(10)
    assert commit.message == (
        "5 votes: 4 good, 1 bad, on 4 images; 4 images shown\n\n"
        f"images: {' '.join(images)}\nchanges up to 9"
    )


def test_a_message_is_short_however_much_changed(
    tmp_path: Path, repository: MemoryRepository
) -> None:
    with Desk.open(DataFolder(tmp_path), lambda: repository) as desk:
        for number in range(50):
            for image_id in desk.show(f"set-{number:02d}"):
                desk.vote(image_id, ALICE, Rating.GOOD)

        desk.settle()

    messages = [commit.message for commit in repository.log(99)]
    assert any(re.search(r"and \d+ more\n", message) for message in messages)
    assert max(map(len, messages)) < 1000


def test_a_commit_rewrites_only_the_shards_whose_rows_changed(
    desk: Desk, repository: MemoryRepository
) -> None:
    one, two, *_ = desk.show("set-0")
    desk.vote(one, ALICE, Rating.GOOD)
    desk.vote(two, ALICE, Rating.GOOD)
    desk.settle()
    before = repository.files

    desk.vote(two, ALICE, Rating.BAD)
    desk.settle()

    changed = {path for path in before if before[path] != repository.files.get(path)}
    assert changed == {"train/000/00001.csv"}


def test_a_commit_changes_no_more_files_than_it_has_time_for(
    desk: Desk, repository: MemoryRepository
) -> None:
    for number in range(5):
        for image_id in desk.show(f"set-{number}"):
            desk.vote(image_id, ALICE, Rating.GOOD)

    tables = []
    while desk.commit():
        tables.append(len([path for path in repository.files if path.endswith(".csv")]))

    assert tables[0] == BATCH_SHARDS
    assert all(after - before <= BATCH_SHARDS for before, after in pairwise(tables))
    assert tables[-1] == 20 + 1  # every vote in a file of its own, and all images in one


def test_a_commit_brings_no_more_images_than_it_has_time_for(tmp_path: Path) -> None:
    repository = MemoryRepository()
    with Desk.open(DataFolder(tmp_path), lambda: repository) as desk:
        for number in range(-(-(BATCH_IMAGES + 8) // 4)):
            for image_id in desk.show(f"set-{number}"):
                desk.vote(image_id, ALICE, Rating.GOOD)

        images = []
        while desk.commit():
            images.append(len([path for path in repository.files if path.endswith(".png")]))

    assert images == [BATCH_IMAGES, BATCH_IMAGES + 8]


def test_a_shard_without_rows_is_no_file(desk: Desk, repository: MemoryRepository) -> None:
    image_id, *_ = desk.show("set-0")
    desk.vote(image_id, ALICE, Rating.GOOD)
    desk.settle()

    desk.vote(image_id, ALICE, None)
    desk.settle()

    assert [path for path in repository.files if path.startswith(("train/", "images/"))] == []


def test_an_image_stays_while_somebody_s_row_of_a_later_batch_needs_it(
    desk: Desk, repository: MemoryRepository
) -> None:
    image_id, *_ = desk.show("set-0")
    for voter in (ALICE, BOB):
        desk.vote(image_id, voter, Rating.GOOD)

    desk.settle()
    for voter in (ALICE, BOB):
        desk.vote(image_id, voter, None)

    desk.commit(limit=1)
    between = dataset(repository.files)
    desk.settle()

    assert between.ratings == {(image_id, BOB): Rating.GOOD}
    assert between.problems == ()
    assert dataset(repository.files).images == frozenset()


def test_an_image_does_not_arrive_before_its_first_row(
    desk: Desk, repository: MemoryRepository
) -> None:
    image_id, *_ = desk.show("set-0")
    desk.settle()
    desk.vote(image_id, ALICE, Rating.GOOD)
    desk.vote(image_id, ALICE, None)
    desk.vote(image_id, BOB, Rating.GOOD)

    desk.commit(limit=1)
    between = dataset(repository.files)
    desk.settle()

    assert between.images == frozenset()
    assert dataset(repository.files).images == {image_id}


def test_a_commit_that_landed_unseen_is_not_made_twice(
    desk: Desk, repository: MemoryRepository
) -> None:
    image_id, *_ = desk.show("set-0")
    desk.vote(image_id, ALICE, Rating.GOOD)
    desk.commit_until(Station.ANSWERED)

    committed = desk.commit()

    assert committed is not None
    assert committed.commit_id is None
    assert len(repository.log(10)) == 1


def test_a_journal_that_lacks_what_the_dataset_has_is_noticed(desk: Desk) -> None:
    one, two, *_ = desk.show("set-0")
    desk.vote(one, ALICE, Rating.GOOD)
    desk.settle()
    older = desk.note(lambda journal: journal.progress.watermark())
    desk.vote(two, ALICE, Rating.GOOD)
    desk.commit_until(Station.ANSWERED)
    killed = desk.note(lambda journal: journal.progress.watermark())

    assert desk.writer().follows(killed)
    assert not desk.writer().follows(replace(killed, commit_id="0" * 32))
    with pytest.raises(RepositoryForeign, match=r"up to 6; the journal ends at 5\."):
        desk.writer().follows(older)


def test_the_history_is_not_read_when_its_newest_commit_is_the_watermarks(
    tmp_path: Path,
) -> None:
    with Desk.open(DataFolder(tmp_path), _Unread) as desk:
        desk.vote(desk.show("set-0")[0], ALICE, Rating.GOOD)
        desk.settle()
        mark = desk.note(lambda journal: journal.progress.watermark())

        assert desk.writer().follows(mark)


class _Unread(MemoryRepository):
    """Its history is too long to be read."""

    def log(self, limit: int) -> Sequence[CommitInfo]:
        raise AssertionError


def test_an_image_that_is_lost_is_named_and_only_its_votes_wait(
    desk: Desk, repository: MemoryRepository
) -> None:
    lost, kept, *_ = desk.show("set-0")
    content = desk.spool.path(lost).read_bytes()
    desk.spool.discard([lost])
    for image_id in (lost, kept):
        for voter in (ALICE, BOB):
            desk.vote(image_id, voter, Rating.GOOD)

    desk.settle(limit=3)
    missing = desk.note(lambda journal: journal.missing.summary())
    desk.vote(lost, ALICE, Rating.BAD)
    desk.settle()
    between = dataset(repository.files)
    places = desk.note(lambda journal: journal.missing.places())
    nothing = desk.writer().found(places)
    desk.spool.put({lost: content})
    found = desk.writer().found(places)
    desk.note(lambda journal: journal.missing.mark_found(found))
    desk.settle()

    assert (missing.images, missing.image_ids, missing.votes) == (1, (lost,), 2)
    assert between.ratings == dict.fromkeys([(kept, ALICE), (kept, BOB)], Rating.GOOD)
    assert between.problems == ()
    assert (nothing, found) == ([], [lost])
    after = dataset(repository.files)
    assert after.problems == ()
    assert after.ratings == {**between.ratings, (lost, ALICE): Rating.BAD, (lost, BOB): Rating.GOOD}
    assert desk.note(lambda journal: journal.missing.summary()).images == 0
    assert not desk.spool.path(lost).exists()


def test_an_image_whose_bytes_changed_is_missing_until_the_right_ones_are_back(
    desk: Desk, repository: MemoryRepository
) -> None:
    image_id, *_ = desk.show("set-0")
    content = desk.spool.path(image_id).read_bytes()
    desk.spool.put({image_id: content[:-1]})
    desk.vote(image_id, ALICE, Rating.GOOD)

    desk.settle()
    places = desk.note(lambda journal: journal.missing.places())
    wrong = desk.writer().found(places)
    desk.spool.put({image_id: content})

    assert dataset(repository.files).images == frozenset()
    assert (list(places), wrong) == ([image_id], [])
    assert desk.writer().found(places) == [image_id]


def test_a_vote_on_a_missing_image_can_be_undone(desk: Desk, repository: MemoryRepository) -> None:
    image_id, *_ = desk.show("set-0")
    desk.spool.discard([image_id])
    desk.vote(image_id, ALICE, Rating.GOOD)
    desk.settle()

    desk.vote(image_id, ALICE, None)
    desk.settle()

    assert desk.note(lambda journal: journal.missing.summary()).images == 0
    assert dataset(repository.files).images == frozenset()

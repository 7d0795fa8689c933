"""A journal made from a dataset continues it as the journal that made it would have."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.dataset.changes import open_for_reading
from storage.dataset.memory import MemoryRepository
from storage.folder import DataFolder
from storage.journal.shards import ShardSizes
from storage.remote.rebuild import Adopted, adopt
from storage.remote.repository import Fetched
from storage.vote import Rating, VoteKind
from tests.support.storage.data import NOON, a_request, dataset, png_of
from tests.support.storage.desk import Desk

SMALL = ShardSizes(train_rows=3, shown_rows=5, images=2)
ALICE, BOB, CAROL = 1, 2, 3
FETCHED = Fetched(branch="main", commit_id="0" * 32, commits=7, newest_seq=0)

NO_VOTE = (VoteKind.REMOVED_IMAGE, VoteKind.WITHHELD_IMAGE, VoteKind.NOTHING_TO_UNDO)

Vote = tuple[int, int, Rating | None]  # which image, voter, rating
votes = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from([ALICE, BOB, CAROL]),
        st.sampled_from([Rating.GOOD, Rating.BAD, None]),
    ),
    max_size=30,
)


def first_host(root: Path, cast: list[Vote], *, sets: int = 3) -> Mapping[str, bytes]:
    """The files of a dataset that a host made."""
    repository = MemoryRepository()
    with Desk.open(DataFolder(root), lambda: repository, shard_sizes=SMALL) as desk:
        images = [
            image
            for number in range(sets)
            for image in desk.show(f"set-{number}", withheld=(3,) if number == 1 else ())
        ]
        for image, voter, rating in cast:
            desk.vote(images[image], voter, rating)

        desk.settle(limit=4)

    return repository.files


def taken_over(root: Path, files: Mapping[str, bytes], desk: Desk) -> Adopted:
    """Take over what a clone without images holds."""
    for path, content in files.items():
        if not path.startswith("images/"):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    return desk.note(
        lambda journal: adopt(
            journal, root, journal_id="abcd", fetched=FETCHED, spooled=desk.spool.ids(), now=NOON
        )
    )


@settings(max_examples=40, deadline=None)
@given(cast=votes)
def test_the_new_journal_renders_the_very_same_files(
    tmp_path_factory: pytest.TempPathFactory, cast: list[Vote]
) -> None:
    root = tmp_path_factory.mktemp("hosts")
    files = first_host(root / "first", cast)
    repository = MemoryRepository()
    with Desk.open(DataFolder(root / "second"), lambda: repository, shard_sizes=SMALL) as desk:
        taken_over(root / "clone", files, desk)
        desk.note(lambda journal: journal.progress.restart())
        desk.settle(limit=4)

    def tables(all_files: Mapping[str, bytes]) -> dict[str, bytes]:
        return {p: content for p, content in all_files.items() if not p.startswith("images/")}

    # An undone vote leaves an empty place in the middle of nowhere; rows keep their order.
    assert tables(repository.files) == tables(files)


@settings(max_examples=40, deadline=None)
@given(before=votes, after=votes)
def test_voting_goes_on_and_the_dataset_is_what_was_voted(
    tmp_path_factory: pytest.TempPathFactory, before: list[Vote], after: list[Vote]
) -> None:
    root = tmp_path_factory.mktemp("hosts")
    files = first_host(root / "first", before)
    repository = MemoryRepository()
    repository.files.update(files)
    repository._applied.update(files)  # what the clone holds, with the images that stayed away
    with Desk.open(DataFolder(root / "second"), lambda: repository, shard_sizes=SMALL) as desk:
        taken_over(root / "clone", files, desk)
        old = [f"set-{number}-{slot}" for number in range(2) for slot in (1, 2, 3, 4)]
        images = [*old, *desk.show("set-new")]
        expected = dict(dataset(files).ratings)
        for image, voter, rating in after:
            outcome = desk.vote(images[image], voter, rating)
            if outcome.kind in NO_VOTE:
                continue

            if rating is None:
                expected.pop((images[image], voter), None)
            else:
                expected[images[image], voter] = rating

        desk.settle(limit=4)

    found = dataset(repository.files)
    assert found.ratings == expected
    assert found.problems == ()


def test_what_is_not_there_any_more_says_so(tmp_path: Path) -> None:
    files = first_host(tmp_path / "first", [(0, ALICE, Rating.GOOD)])
    with Desk.open(DataFolder(tmp_path / "second"), MemoryRepository, shard_sizes=SMALL) as desk:
        found = taken_over(tmp_path / "clone", files, desk)

        assert (found.votes, found.images, found.shown) == (1, 1, 12)
        assert desk.vote("set-0-1", ALICE, Rating.GOOD).kind is VoteKind.UNCHANGED
        assert desk.vote("set-0-1", BOB, Rating.BAD).kind is VoteKind.RECORDED
        assert desk.vote("set-0-2", BOB, Rating.BAD).kind is VoteKind.REMOVED_IMAGE
        stored = desk.note(lambda journal: journal.find_set("set-0"))
        assert stored is not None
        assert stored.request == a_request()

        with open_for_reading(desk.folder.journal) as journal:
            (journal_id,) = journal.execute("SELECT journal_id FROM watermark").fetchone()

        assert journal_id == "abcd"


def test_images_of_this_host_never_share_a_folder_with_those_of_the_other(tmp_path: Path) -> None:
    """Adding a folder to Oxen would remove what is not there on this host."""
    files = first_host(tmp_path / "first", [(number, ALICE, Rating.GOOD) for number in range(3)])
    repository = MemoryRepository()
    with Desk.open(DataFolder(tmp_path / "second"), lambda: repository, shard_sizes=SMALL) as desk:
        taken_over(tmp_path / "clone", files, desk)
        desk.vote(desk.show("set-new")[0], BOB, Rating.GOOD)
        desk.settle()

    theirs = {Path(path).parent for path in files if path.startswith("images/")}
    ours = {Path(path).parent for path in repository.files if path.startswith("images/")}
    assert ours
    assert not ours & theirs
    assert repository.files[f"{ours.pop()}/set-new-1.png"] == png_of("set-new-1")


def test_what_was_withheld_stays_so(tmp_path: Path) -> None:
    files = first_host(tmp_path / "first", [])
    with Desk.open(DataFolder(tmp_path / "second"), MemoryRepository, shard_sizes=SMALL) as desk:
        taken_over(tmp_path / "clone", files, desk)

        assert desk.vote("set-0-1", ALICE, Rating.GOOD).kind is VoteKind.REMOVED_IMAGE
        assert desk.vote("set-1-3", ALICE, Rating.GOOD).kind is VoteKind.WITHHELD_IMAGE

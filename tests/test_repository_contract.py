"""What every repository keeps to, the one in memory and the real one alike."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.dataset.memory import MemoryRepository
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.dataset.repository import Changes, DataRepository
from storage.errors import RepositoryError

TRAIN = "train/00000.csv"
IMAGE = "images/00000/a.png"

Open = Callable[[], DataRepository]


@pytest.fixture(params=["memory", "oxen"])
def open_repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same repository every time."""
    memory = MemoryRepository()
    opened: list[DataRepository] = []

    def open_() -> DataRepository:
        for earlier in opened:
            earlier.close()

        if request.param == "oxen":
            config_dir = tmp_path / "config"
            settings = OxenSettings(
                path=tmp_path / "dataset", config_dir=config_dir, journal_id="0"
            )
            opened.append(OxenRepository.open(settings))
        else:
            opened.append(memory)

        return opened[-1]

    yield open_
    for repository in opened:
        repository.close()


@pytest.fixture
def repository(open_repository: Open) -> DataRepository:
    return open_repository()


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(b"png")

    return path


def changes(
    files: dict[str, bytes] | None = None,
    images: dict[str, Path] | None = None,
    removals: tuple[str, ...] = (),
) -> Changes:
    return Changes(files=files or {}, images=images or {}, removals=removals)


def test_a_commit_is_the_newest_in_the_log(repository: DataRepository) -> None:
    repository.apply(changes({TRAIN: b"a\n1\n"}))

    commit_id = repository.commit("one row\n\nimages: a")

    newest = repository.log(1)[0]
    assert newest.id == commit_id
    assert newest.message == "one row\n\nimages: a"
    assert newest.at.utcoffset() is not None


def test_the_log_is_newest_first_and_no_longer_than_asked(repository: DataRepository) -> None:
    for number in range(3):
        repository.apply(changes({TRAIN: b"a\n%d\n" % number}))
        repository.commit(f"commit {number}")

    assert [commit.message for commit in repository.log(2)] == ["commit 2", "commit 1"]


def test_what_was_applied_can_be_read(repository: DataRepository, png: Path) -> None:
    repository.apply(changes({TRAIN: b"a\n1\n"}, {IMAGE: png}))

    assert repository.read(TRAIN) == b"a\n1\n"
    assert repository.read(IMAGE) == b"png"
    assert repository.read("train/00001.csv") is None


def test_committing_nothing_is_no_commit(repository: DataRepository) -> None:
    repository.apply(changes({TRAIN: b"a\n1\n"}))
    repository.commit("first")
    length = len(repository.log(100))

    repository.apply(changes({TRAIN: b"a\n1\n"}))

    assert repository.commit("again") is None
    assert len(repository.log(100)) == length


def test_applying_twice_is_applying_once(repository: DataRepository, png: Path) -> None:
    both = changes({TRAIN: b"a\n1\n"}, {IMAGE: png}, ("train/00001.csv",))
    repository.apply(both)
    repository.apply(both)

    assert repository.commit("once") is not None
    assert repository.commit("twice") is None


def test_an_image_in_place_needs_its_source_no_more(repository: DataRepository, png: Path) -> None:
    repository.apply(changes(images={IMAGE: png}))
    repository.commit("image")
    png.unlink()

    repository.apply(changes(images={IMAGE: png}))

    assert repository.read(IMAGE) == b"png"
    assert repository.commit("again") is None


def test_an_image_outlives_its_source(repository: DataRepository, png: Path) -> None:
    repository.apply(changes(images={IMAGE: png}))
    png.unlink()
    png.write_bytes(b"another")

    assert repository.commit("image") is not None
    assert repository.read(IMAGE) == b"png"


def test_an_image_that_is_nowhere_is_refused(repository: DataRepository, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"nowhere\.png.*Somebody has to look at it"):
        repository.apply(changes(images={IMAGE: tmp_path / "nowhere.png"}))


def test_many_images_in_one_folder_arrive_together(
    repository: DataRepository, tmp_path: Path
) -> None:
    images = {}
    for number in range(20):
        source = tmp_path / f"{number}.png"
        source.write_bytes(b"%d" % number)
        images[f"images/00000/{number}.png"] = source

    repository.apply(changes(images=images))

    assert repository.commit("many") is not None
    assert repository.read("images/00000/13.png") == b"13"
    assert repository.commit("none left") is None


def test_a_removed_file_is_gone_and_may_come_back(repository: DataRepository, png: Path) -> None:
    repository.apply(changes(images={IMAGE: png}))
    repository.commit("there")

    repository.apply(changes(removals=(IMAGE,)))
    assert repository.commit("gone") is not None
    assert repository.read(IMAGE) is None

    repository.apply(changes(images={IMAGE: png}))
    assert repository.commit("back") is not None
    assert repository.read(IMAGE) == b"png"


def test_removing_what_is_not_there_changes_nothing(repository: DataRepository) -> None:
    repository.apply(changes(removals=(IMAGE, TRAIN)))

    assert repository.commit("nothing") is None


def test_what_was_applied_and_removed_before_the_commit_never_was(
    open_repository: Open, png: Path
) -> None:
    repository = open_repository()
    repository.apply(changes({TRAIN: b"a\n1\n"}, {IMAGE: png}))
    repository.apply(changes(removals=(TRAIN, IMAGE)))
    repository.commit("nothing much")

    again = open_repository()

    assert again.read(TRAIN) is None
    assert again.read(IMAGE) is None
    assert again.commit("nothing") is None


def test_what_was_not_committed_is_not_in_the_next_owner_s_commit(
    open_repository: Open, tmp_path: Path, png: Path
) -> None:
    open_repository().apply(changes({TRAIN: b"a\n1\n"}, {IMAGE: png}))

    assert open_repository().commit("nothing applied") is None


def test_the_history_is_there_after_opening_again(open_repository: Open) -> None:
    first = open_repository()
    first.apply(changes({TRAIN: b"a\n1\n"}))
    commit_id = first.commit("kept")

    second = open_repository()

    assert second.log(1)[0].id == commit_id
    assert second.read(TRAIN) == b"a\n1\n"

"""What a power cut cannot take away. The long run is `make chaos-power`."""

import asyncio
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import oxen
import pytest

from storage import files
from storage.dataset import last_commit
from storage.dataset.card import FOLDER_CARDS
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.dataset.repository import Changes
from storage.errors import RepositoryError
from tests.chaos.power_cuts import missing, power_cuts


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset with one commit beside its card."""
    repository = opened(tmp_path / "dataset")
    commit(repository, 0)
    repository.close()

    return tmp_path / "dataset"


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Path]]:
    """Fails at the sync after so many; the list is of what was synced until then."""

    def fails_after(most: int) -> list[Path]:
        synced: list[Path] = []

        def sync(path: Path) -> None:
            if len(synced) == most:
                raise OSError("no power")

            files.sync(path)
            synced.append(path)

        def write_durably(path: Path, content: bytes) -> None:
            files.write_durably(path, content)
            sync(path)

        monkeypatch.setattr(last_commit, "sync", sync)
        monkeypatch.setattr(last_commit, "write_durably", write_durably)

        return synced

    return fails_after


def opened(path: Path) -> OxenRepository:
    return OxenRepository.open(
        OxenSettings(path=path, config_dir=path.with_name("config"), journal_id="0")
    )


def commit(repository: OxenRepository, number: int, message: str = "") -> str | None:
    changes = {f"train/000/{number:05d}.csv": b"prompt\na fox\n"}
    repository.apply(Changes(files=changes, images={}, removals=()))

    # Oxen makes one id of the same message in the same second.
    return repository.commit(message or f"commit {number}")


def messages(path: Path) -> list[str]:
    """The history, the newest first; what is in no commit is a failure."""
    repo = oxen.Repo(str(path))
    assert repo.status().is_clean(), str(repo.status())

    return [commit.message for commit in repo.log()]


def interrupted(path: Path, power: Callable[[int], list[Path]]) -> None:
    """Commit, and cut the power before what Oxen leaves in memory has reached the disk."""
    repository = opened(path)
    power(1)  # the note of the commit
    with pytest.raises(RepositoryError):
        commit(repository, 1)

    repository.close()
    head = oxen.Repo(str(path)).log()[0]
    assert head.message == "commit 1"
    for lost in (path / ".oxen" / "history" / head.id / "dir_hashes").glob("*.log"):
        lost.write_bytes(b"")


def test_a_commit_is_on_the_disk_when_it_is_reported(
    dataset: Path, power: Callable[[int], list[Path]]
) -> None:
    repository = opened(dataset)
    synced = power(1_000)

    commit_id = commit(repository, 1)

    repository.close()
    history = dataset / ".oxen" / "history" / str(commit_id) / "dir_hashes"
    refs = dataset / ".oxen" / "refs"
    assert set(synced) & {*history.glob("*.log")}
    assert {path.parent for path in synced} >= {history, refs}


def test_a_commit_that_a_power_cut_broke_is_taken_back_and_made_again(
    dataset: Path, power: Callable[[int], list[Path]]
) -> None:
    interrupted(dataset, power)
    power(1_000)

    repository = opened(dataset)
    assert repository.log(1)[0].message == "commit 0"
    commit(repository, 1, "again")
    repository.close()

    assert messages(dataset) == ["again", "commit 0", "dataset card"]


def test_a_power_cut_while_a_commit_is_taken_back_does_no_harm(
    dataset: Path, power: Callable[[int], list[Path]]
) -> None:
    interrupted(dataset, power)
    for number in itertools.count():
        copy = dataset.with_name(f"copy-{number}")
        shutil.copytree(dataset, copy)
        synced = power(number)
        try:
            opened(copy).close()
        except RepositoryError:
            power(1_000)
            repository = opened(copy)
            commit(repository, 1, "again")
            repository.close()

            assert messages(copy) == ["again", "commit 0", "dataset card"], synced
        else:
            assert number > 4, "taking back syncs less than it did"
            break


def test_a_commit_that_somebody_else_made_is_not_taken_back(dataset: Path) -> None:
    repo = oxen.Repo(str(dataset))
    (dataset / ".oxen" / "oxherd.commit").write_text(f"main {repo.log()[-1].id}")
    (dataset / "notes.txt").write_text("mine", encoding="utf-8")
    repo.add(str(dataset / "notes.txt"))
    repo.commit("mine")
    del repo

    opened(dataset).close()

    assert messages(dataset) == ["mine", "commit 0", "dataset card"]


def test_folder_cards_that_no_commit_has_are_committed_again(dataset: Path) -> None:
    repo = oxen.Repo(str(dataset))
    for card in FOLDER_CARDS:
        repo.rm(card)

    repo.commit("as it was before there were any")
    del repo

    opened(dataset).close()

    assert messages(dataset)[0] == "dataset card"
    assert {path for path in FOLDER_CARDS if (dataset / path).exists()} == {*FOLDER_CARDS}


@pytest.mark.long
@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_no_acknowledged_vote_is_lost_by_a_power_cut_soon_after_the_first_vote(
    tmp_path: Path,
) -> None:
    life = power_cuts(tmp_path, cuts=2, seed=1, most_s=5, after_a_vote=True)

    report = asyncio.run(life)

    assert report["problems"] == []
    assert report["kills"] == {"power": 2}
    assert report["votes"]["acknowledged"] > 0

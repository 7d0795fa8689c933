"""A file or folder is in place as a whole or not at all, and durably."""

import os
from pathlib import Path

import pytest

from storage.files import replace_durably, write_durably


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was made durable, in order."""
    names: list[str] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        names.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)

    return names


def test_a_file_is_durable_before_it_has_its_name_and_its_name_afterwards(
    tmp_path: Path, synced: list[str]
) -> None:
    write_durably(tmp_path / "vote.csv", b"good")

    assert (tmp_path / "vote.csv").read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [tmp_path / "vote.csv"]
    assert synced == ["vote.part", tmp_path.name]


def test_an_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "vote.csv"
    write_durably(path, b"good")

    with pytest.raises(IsADirectoryError):
        write_durably(path, b"bad", part=tmp_path)

    assert path.read_bytes() == b"good"


def test_folders_that_are_made_on_the_way_are_durable_too(
    tmp_path: Path, synced: list[str]
) -> None:
    write_durably(tmp_path / "train" / "00" / "vote.csv", b"good")

    assert synced == [tmp_path.name, "train", "vote.part", "00"]


def test_a_folder_is_moved_when_all_that_is_in_it_is_durable(
    tmp_path: Path, synced: list[str]
) -> None:
    new = tmp_path / "dataset.new"
    (new / "train").mkdir(parents=True)
    (new / "train" / "vote.csv").write_bytes(b"good")

    replace_durably(new, tmp_path / "dataset")

    assert (tmp_path / "dataset" / "train" / "vote.csv").read_bytes() == b"good"
    assert synced == ["train", "vote.csv", "dataset.new", tmp_path.name]

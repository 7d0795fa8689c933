"""A row of `generations` says how its image is made again, or why it does not."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from storage.dataset.columns import SHOWN_COLUMNS
from storage.dataset.layout import csv_file
from storage.dataset.memory import MemoryRepository
from storage.dataset.reader import (
    RecordedImage,
    find_recorded,
    recorded_bytes,
    recorded_image,
)
from storage.errors import RecordError
from storage.folder import DataFolder
from storage.vote import Rating
from tests.support.storage.data import PROVENANCE, a_request, a_set, png_of, read_csv
from tests.support.storage.desk import Desk

SHARD = Path("generations") / "000" / "00000.csv"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset's plain files: four images were shown, and the first was voted on."""
    repository = MemoryRepository()
    with Desk.open(DataFolder(tmp_path / "data"), lambda: repository) as desk:
        first, *_ = desk.show("set-0", prompt="=1+1, 'quoted'")
        desk.vote(first, 1, Rating.GOOD)
        desk.settle()

    for path, content in repository.files.items():
        file = tmp_path / "dataset" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    return tmp_path / "dataset"


def rewrite(dataset: Path, change: Callable[[dict[str, str]], object]) -> None:
    """Change every row of the dataset's one shard."""
    rows = read_csv((dataset / SHARD).read_bytes())
    for row in rows:
        change(row)

    cells = [[row.get(column, "") for column in SHOWN_COLUMNS] for row in rows]
    (dataset / SHARD).write_bytes(csv_file(SHOWN_COLUMNS, cells))


def test_a_row_says_all_that_was_asked_for_and_all_that_made_it(dataset: Path) -> None:
    image = find_recorded(dataset, "set-0-3")

    assert image == RecordedImage(
        image_id="set-0-3",
        slot=3,
        request=a_request("=1+1, 'quoted'", seeds=[3]),  # the cell has a mark before it
        made_by=PROVENANCE,
        sha256=image.sha256,
    )
    assert len(image.sha256) == 64


def test_the_row_of_a_variation_says_of_what_and_how_far(tmp_path: Path) -> None:
    variation = {**a_request(seeds=[3]), "parent_id": "set-0-2", "strength": 0.6}
    repository = MemoryRepository()
    with Desk.open(DataFolder(tmp_path / "data"), lambda: repository) as desk:
        desk.show_set(replace(a_set(), request=variation))
        desk.settle()

    [row, *_] = read_csv(repository.files[SHARD.as_posix()])

    assert (row["parent"], row["strength"]) == ("set-0-2", "0.6")
    assert recorded_image({**row, "seed": "3"}).request == variation


@pytest.mark.parametrize("missing", ["parent", "strength"])
def test_half_a_variation_is_unusable(dataset: Path, missing: str) -> None:
    whole = {"parent": "set-0-2", "strength": "0.6"}
    rewrite(dataset, lambda row: row.update({**whole, missing: {"parent": "no"}.get(missing, "")}))

    with pytest.raises(RecordError, match="its parent is"):
        find_recorded(dataset, "set-0-3")


def test_a_row_of_an_older_oxherd_is_of_no_variation(dataset: Path) -> None:
    [row, *_] = read_csv((dataset / SHARD).read_bytes())
    del row["parent"], row["strength"]

    assert recorded_image(row).request == a_request("=1+1, 'quoted'", seeds=[1])


def test_an_id_with_a_slip_gets_the_nearest_one(dataset: Path) -> None:
    with pytest.raises(RecordError, match=r"no image 'set-O-3'.*Did you mean set-0-3\?"):
        find_recorded(dataset, "set-O-3")


def test_an_id_like_no_other_gets_no_hint(dataset: Path) -> None:
    with pytest.raises(RecordError, match=r"never does\.$"):
        find_recorded(dataset, "qqqq")


def test_a_folder_without_a_dataset_has_no_image(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="has no image 'set-0-3'"):
        find_recorded(tmp_path, "set-0-3")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": ""}, "its seed is not there"),
        ({"seed": "many"}, "'many'"),
        ({"slot": "0"}, "its slot is '0'"),
        ({"guidance_scale": "much"}, "'much'"),
        ({"sha256": "0123"}, "its sha256 is '0123'"),
        ({"versions": "{"}, "Expecting"),
        ({"versions": "[1]"}, "."),
    ],
)
def test_a_row_that_says_too_little_names_what_is_wrong(
    dataset: Path, changes: Mapping[str, str], reason: str
) -> None:
    rewrite(dataset, lambda row: row.update(changes))

    with pytest.raises(RecordError) as refused:
        find_recorded(dataset, "set-0-3")

    assert "image 'set-0-3' does not say how to make it again" in str(refused.value)
    assert reason in str(refused.value)


def test_a_file_that_is_no_table_is_a_sentence(dataset: Path) -> None:
    (dataset / SHARD).write_bytes(b"\xff\xfe")

    with pytest.raises(RecordError, match="cannot be read"):
        find_recorded(dataset, "set-0-3")


def test_an_id_that_leads_out_of_the_dataset_is_refused(dataset: Path) -> None:
    rewrite(dataset, lambda row: row.update(image_id="../secret"))

    with pytest.raises(RecordError, match=r"its image_id is '\.\./secret'"):
        find_recorded(dataset, "../secret")


def test_the_bytes_are_found_where_votes_and_where_no_votes_put_them(
    dataset: Path, tmp_path: Path
) -> None:
    spool = DataFolder(tmp_path / "data").spool
    voted, unvoted = find_recorded(dataset, "set-0-1"), find_recorded(dataset, "set-0-2")

    assert recorded_bytes(voted, dataset, spool=None) == png_of("set-0-1")
    assert recorded_bytes(unvoted, dataset, spool=spool) == png_of("set-0-2")
    assert recorded_bytes(unvoted, dataset, spool=None) is None

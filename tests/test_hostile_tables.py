"""A dataset that somebody changed is not taken over: every value of it is checked first."""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from storage.dataset.columns import MADE_BY_COLUMNS, SHOWN_COLUMNS, TRAIN_COLUMNS
from storage.dataset.layout import csv_file
from storage.dataset.memory import MemoryRepository
from storage.errors import RecordError
from storage.folder import DataFolder
from storage.journal.queries import SHARD_SIZES, Journal
from storage.remote.rebuild import adopt, recover
from storage.remote.repository import Fetched
from storage.remote.tables import read_tables
from storage.vote import Rating
from tests.support.storage.data import NOON
from tests.support.storage.desk import Desk

FETCHED = Fetched(branch="main", commit_id="0" * 32, commits=7, newest_seq=0)
WORDS = frozenset({"image_id", "set_id", "parent", "prompt", "negative_prompt", *MADE_BY_COLUMNS})
COLUMNS = {"generations": SHOWN_COLUMNS, "train": TRAIN_COLUMNS}

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of two sets, one of them with a withheld image, and three votes."""
    root = tmp_path_factory.mktemp("honest")
    repository = MemoryRepository()
    with Desk.open(DataFolder(root / "first"), lambda: repository) as desk:
        first, second = desk.show("set-0"), desk.show("set-1", withheld=(3,))
        for image in (first[0], first[1], second[0]):
            desk.vote(image, 1, Rating.GOOD)

        desk.explain(first[0], 1, Rating.GOOD, "fits the prompt", "beautiful")
        desk.settle()

    for path, content in repository.files.items():
        if path.startswith(tuple(COLUMNS)):
            target = root / "dataset" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    return root / "dataset"


@pytest.fixture
def dataset(honest: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    for file in honest.rglob("*.csv"):
        target = tmp_path / "dataset" / file.relative_to(honest)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())

    return tmp_path / "dataset"


def change(dataset: Path, table: str, change_rows: Callable[[Rows], object]) -> None:
    file = dataset / table / "000" / "00000.csv"
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    change_rows(rows)
    columns = COLUMNS[table]
    file.write_bytes(csv_file(columns, [[row[column] for column in columns] for row in rows]))


def refusal(dataset: Path, tmp_path: Path) -> str:
    """The one sentence with which both ways of continuing a dataset refuse it."""
    said = set()

    def continue_(journal: Journal) -> None:
        with pytest.raises(RecordError) as refused:
            adopt(journal, dataset, journal_id="abcd", fetched=FETCHED, spooled=(), now=NOON)

        said.add(str(refused.value))
        with pytest.raises(RecordError) as refused:
            recover(journal, dataset, fetched=FETCHED, now=NOON)

        said.add(str(refused.value))

    with Desk.open(DataFolder(tmp_path / "second"), MemoryRepository) as desk:
        desk.note(continue_)
        assert desk.note(lambda journal: journal.is_empty())

    [sentence] = said
    assert sentence.startswith("The dataset cannot be continued, because oxherd did not write it")
    assert sentence.endswith("Nothing was taken over.")
    assert "\n" not in sentence
    assert len(sentence) < 400

    return sentence


def test_an_honest_dataset_is_taken_over(dataset: Path, tmp_path: Path) -> None:
    with Desk.open(DataFolder(tmp_path / "second"), MemoryRepository) as desk:
        found = desk.note(
            lambda journal: adopt(
                journal, dataset, journal_id="abcd", fetched=FETCHED, spooled=(), now=NOON
            )
        )

    assert (found.votes, found.images, found.shown) == (3, 3, 8)


def set_cell(rows: Rows, *, column: str, value: str) -> None:
    rows[0][column] = value


def junk_of(column: str) -> list[str]:
    """Values that are wrong in the column."""
    never = ["\x00", "x\ny", "😀" * 3_000]
    if column in WORDS:
        return never

    may_be_empty = column in ("guidance_scale", "strength", "unsafe_score", "seconds")

    return [*never, "-1", "nan", "1e999", *([] if may_be_empty else [""])]


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table in COLUMNS for column in COLUMNS[table]]
)
def test_no_column_takes_junk(dataset: Path, table: str, column: str) -> None:
    for junk in junk_of(column):
        change(dataset, table, partial(set_cell, column=column, value=junk))

        with pytest.raises(RecordError, match=f": {table}/00000.csv, row 1: its {column} is "):
            read_tables(dataset, SHARD_SIZES)


@pytest.mark.parametrize(
    ("table", "cells", "sentence"),
    [
        ("generations", {"seed": "9" * 5_000}, "its seed is '9999"),
        ("generations", {"seed": str(2**32)}, "its seed is '4294967296'"),
        ("generations", {"seed": "١"}, "its seed is '١'"),
        ("generations", {"guidance_scale": "inf"}, "its guidance_scale is 'inf'"),
        ("generations", {"versions": "[" * 100_000}, "its versions is '[[["),
        ("generations", {"versions": '{"a": {}}'}, "its versions is '{\"a\": {}}'"),
        ("generations", {"withheld": "yes"}, "its withheld is 'yes'"),
        ("generations", {"parent": "a"}, "its parent is 'a', and its strength is ''"),
        ("generations", {"strength": "0.5"}, "its parent is 'no', and its strength is '0.5'"),
        ("generations", {"parent": "a", "strength": "0"}, "its strength is 0"),
        ("generations", {"shown_at": "2026-05-04"}, "its shown_at is '2026-05-04'"),
        ("generations", {"set_id": "set-1"}, "its image has a row already"),
        ("generations", {"prompt": "an owl"}, "it contradicts a row of the same set"),
        ("generations", {"image_id": "../../up"}, "its image_id is '../../up'"),
        ("train", {"image_id": "nobodys"}, "no image with its image_id was shown"),
        ("train", {"image_id": "set-1-3"}, "no image with its image_id was shown"),
        ("train", {"path": "images/000/00000/set-0-2.png"}, "its path is 'images/000"),
        ("train", {"path": "images/../../../etc/passwd"}, "its path is 'images/.."),
        ("train", {"rating": "great"}, "its rating is 'great'"),
        ("train", {"voter_id": str(2**63)}, "its voter_id is '9223372036854775808'"),
        ("train", {"server": "12345678"}, "its server is '12345678'"),
        ("train", {"shown_in": "dream"}, "its shown_in is 'dream'"),
        ("train", {"consent": "version 0"}, "its consent is 'version 0'"),
        ("train", {"reasons": "ugly;;unsafe"}, "its reasons is 'ugly;;unsafe'"),
        ("train", {"server": "unknown"}, "its server contradicts a row of the same set"),
        ("train", {"prompt": "an owl"}, "its prompt contradicts the row in generations"),
        ("train", {"model": "them/theirs"}, "its model contradicts the row in generations"),
    ],
)
def test_a_value_that_oxherd_would_not_write_is_named(
    dataset: Path, tmp_path: Path, table: str, cells: dict[str, str], sentence: str
) -> None:
    change(dataset, table, lambda rows: rows[0].update(cells))

    assert sentence in refusal(dataset, tmp_path)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_row_that_is_there_twice_is_refused(dataset: Path, tmp_path: Path, table: str) -> None:
    change(dataset, table, lambda rows: rows.append(dict(rows[0])))

    assert "already" in refusal(dataset, tmp_path)


@pytest.mark.parametrize("table", COLUMNS)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("00001.csv", b"\xff\xfe", id="not text"),
        pytest.param("00001.csv", b"a,b\n1,2\n", id="a different table"),
        pytest.param("00001.csv", b'"' + b"x" * 200_000, id="a cell without an end"),
        pytest.param("000000.csv", b"", id="the same number again"),
        pytest.param("notes.csv", b"", id="no number"),
        pytest.param("٠٠٠٠١.csv", b"", id="a number in different digits"),
    ],
)
def test_a_file_that_is_no_table_of_ours_is_refused(
    dataset: Path, tmp_path: Path, table: str, name: str, content: bytes
) -> None:
    (dataset / table / "000" / name).write_bytes(content)

    refusal(dataset, tmp_path)


def test_a_shard_with_more_rows_than_one_has_is_refused(dataset: Path, tmp_path: Path) -> None:
    def add_many(rows: Rows) -> None:
        rows += [dict(rows[0], image_id=f"more-{i}", set_id=f"more-{i}") for i in range(64)]

    change(dataset, "generations", add_many)

    assert "a file has 64 rows at most" in refusal(dataset, tmp_path)


def test_a_row_with_too_many_cells_is_refused(dataset: Path, tmp_path: Path) -> None:
    file = dataset / "train" / "000" / "00000.csv"
    file.write_bytes(file.read_bytes().replace(b"\n", b",more\n").replace(b",more", b"", 1))

    assert "its columns are not those of the table" in refusal(dataset, tmp_path)


def test_a_link_is_not_followed(dataset: Path, tmp_path: Path) -> None:
    (dataset / "train" / "000" / "00001.csv").symlink_to("/etc/passwd")

    assert "00001.csv is a link, which is not followed" in refusal(dataset, tmp_path)

"""What changed between two commits: rows of each table, and images."""

import csv
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.dataset.reader import dataset_rows
from storage.errors import ReadingError
from storage.reading.collection import Tell
from storage.reading.oxen import checked_out

_SIDES = (0, 1)  # before and after

# As the key has it, both sides of a row are side by side.
_ROWS = """
CREATE TABLE rows (
    name TEXT, subject_id TEXT, voter_id TEXT, side INTEGER,
    cells TEXT NOT NULL,          -- JSON: all of the row
    PRIMARY KEY (name, subject_id, voter_id, side)
) STRICT, WITHOUT ROWID;
CREATE VIEW changes AS
    SELECT name, subject_id, voter_id,
        max(iif(side = 0, cells, NULL)) AS before, max(iif(side = 1, cells, NULL)) AS after
    FROM rows GROUP BY name, subject_id, voter_id HAVING before IS NOT after;
"""

# Of each table: what to say while it is read, and the columns that tell its rows apart.
_TABLES = (
    ("train", "reading votes", ("image_id", "voter_id")),
    ("arena", "reading votes on pairs", ("pair_id", "voter_id")),
    ("generations", "reading images", ("image_id",)),
)

_IMAGES = """
SELECT coalesce(sum(NOT before), 0), coalesce(sum(NOT after), 0) FROM (
    SELECT max(side = 0) AS before, max(side = 1) AS after
    FROM rows WHERE name = 'train' GROUP BY subject_id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    """A row before and after; None where it is not there.

    subject_id: of an image, or in `arena` of a pair. voter_id: empty in `generations`.
    """

    subject_id: str
    voter_id: str
    before: Mapping[str, str] | None
    after: Mapping[str, str] | None

    @property
    def changed(self) -> Sequence[str]:
        """The columns whose cells differ; none of a row that came or went."""
        if self.before is None or self.after is None:
            return []

        return [
            column
            for column in {**self.before, **self.after}
            if self.before.get(column) != self.after.get(column)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChanges:
    """How many rows came, went and changed, and the first of them."""

    came: int
    went: int
    changed: int
    first: Sequence[ChangedRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """From one commit to the other. images_came, images_went: those that have votes on one side
    only."""

    train: TableChanges
    arena: TableChanges
    generations: TableChanges
    images_came: int
    images_went: int


def differences(dataset: Path, before: str, after: str, *, limit: int, tell: Tell) -> Differences:
    """Compare two commits, and name so many rows of each table. Raises a ReadingError."""
    with _rows() as rows:
        for side, revision in zip(_SIDES, (before, after), strict=True):
            with checked_out(dataset, revision) as checkout:
                _fill(rows, side, checkout.tables, tell)

        came, went = rows.execute(_IMAGES).fetchone()

        return Differences(
            train=_changes(rows, "train", limit=limit),
            arena=_changes(rows, "arena", limit=limit),
            generations=_changes(rows, "generations", limit=limit),
            images_came=came,
            images_went=went,
        )


@contextmanager
def _rows() -> Iterator[sqlite3.Connection]:
    """On the disk: the rows of a million votes, twice, are more than a gigabyte."""
    with (
        TemporaryDirectory(prefix="oxherd-diff-") as folder,
        closing(sqlite3.connect(Path(folder) / "rows.sqlite3")) as rows,
    ):
        rows.isolation_level = None
        rows.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_ROWS}")
        yield rows


def _fill(rows: sqlite3.Connection, side: int, tables: Path, tell: Tell) -> None:
    rows.execute("BEGIN")
    try:
        for name, what, key in _TABLES:
            for number, (_, _, row) in enumerate(dataset_rows(tables / name)):
                if number % 1_000 == 0:
                    tell(what, number, 0)

                subject_id, *voter_id = (row[column] for column in key)
                rows.execute(
                    "INSERT INTO rows VALUES (?, ?, ?, ?, ?)",
                    (name, subject_id, *(voter_id or [""]), side, json.dumps(row)),
                )
    except (OSError, ValueError, KeyError, csv.Error, sqlite3.IntegrityError) as exc:
        raise ReadingError.not_ours(tables, reason=str(exc)) from exc

    rows.execute("COMMIT")


def _changes(rows: sqlite3.Connection, name: str, *, limit: int) -> TableChanges:
    came, went, total = rows.execute(
        "SELECT coalesce(sum(before IS NULL), 0), coalesce(sum(after IS NULL), 0), count(*)"
        " FROM changes WHERE name = ?",
        (name,),
    ).fetchone()
    first = rows.execute(
        "SELECT subject_id, voter_id, before, after FROM changes WHERE name = ?"
        " ORDER BY subject_id, voter_id LIMIT ?",
        (name, limit),
    )

    return TableChanges(
        came=came,
        went=went,
        changed=total - came - went,
        first=[
            ChangedRow(
                subject_id=subject_id,
                voter_id=voter_id,
                before=None if was is None else json.loads(was),
                after=None if is_now is None else json.loads(is_now),
            )
            for subject_id, voter_id, was, is_now in first
        ],
    )

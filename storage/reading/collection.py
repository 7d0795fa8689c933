"""All votes and images of one commit, joined, in a database that goes away.

In SQLite and not in memory: a million votes take a gigabyte as Python's values, and the joins are
SQL's own.
"""

import csv
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.dataset import columns
from storage.dataset.layout import unguarded
from storage.dataset.reader import dataset_rows
from storage.errors import ReadingError
from storage.reading.oxen import Checkout
from storage.vote import Rating

Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is (0: not known)."""


_KINDS = {int: "INTEGER", float: "REAL"}

_TABLES = f"""
CREATE TABLE prompts (prompt INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE voters (voter INTEGER PRIMARY KEY, voter_id INTEGER NOT NULL UNIQUE) STRICT;
CREATE TABLE images (
    image INTEGER PRIMARY KEY,
    image_id TEXT NOT NULL UNIQUE,
    set_id TEXT NOT NULL,
    slot INTEGER NOT NULL,
    prompt INTEGER NOT NULL REFERENCES prompts,
    path TEXT,                    -- NULL: nobody voted on it
    shown_at TEXT, sha256 TEXT,   -- NULL: it has no row in `generations`
    negative_prompt TEXT,
    {", ".join(f"{name} {_KINDS[kind]}" for name, kind in columns.REQUEST_NUMBERS.items())},
    {", ".join(f"{name} TEXT" for name in columns.MADE_BY_COLUMNS)},
    versions TEXT, unsafe_score REAL, withheld TEXT
) STRICT;
CREATE TABLE votes (
    vote INTEGER PRIMARY KEY,     -- in the dataset's order
    image INTEGER NOT NULL REFERENCES images,
    voter INTEGER NOT NULL REFERENCES voters,
    good INTEGER NOT NULL,        -- 1 or 0
    voted_at TEXT NOT NULL, server TEXT, own_request INTEGER, shown_in TEXT, seconds REAL,
    consent INTEGER, reasons TEXT NOT NULL,
    gold TEXT, exposures INTEGER NOT NULL, repeat TEXT,
    fate TEXT                     -- why it is left out of what is made. NULL: it is not
) STRICT;
"""

_INDEXES = """
CREATE INDEX images_by_set ON images (set_id);
CREATE INDEX votes_by_image ON votes (image);
CREATE INDEX votes_by_voter ON votes (voter);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A commit's votes and images: the tables `prompts`, `voters`, `images` and `votes`."""

    checkout: Checkout
    database: sqlite3.Connection

    def number(self, sql: str, *values: object) -> int:
        """The one number that a query finds."""
        (found,) = self.database.execute(sql, values).fetchone()

        return int(found)


@contextmanager
def collected(checkout: Checkout, tell: Tell) -> Iterator[Collection]:
    """The votes and images of this commit. Raises a ReadingError for a table that is not ours."""
    with (
        TemporaryDirectory(prefix="oxherd-collection-") as folder,
        closing(sqlite3.connect(Path(folder) / "collection.sqlite3")) as database,
    ):
        database.isolation_level = None
        database.row_factory = sqlite3.Row
        database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES}")
        try:
            _fill(database, checkout.tables, tell)
        except (OSError, ValueError, TypeError, KeyError, csv.Error, sqlite3.IntegrityError) as exc:
            reason = f"it has no column {exc}" if isinstance(exc, KeyError) else str(exc)
            raise ReadingError.not_ours(checkout.tables, reason=reason) from exc

        yield Collection(checkout=checkout, database=database)


def _fill(database: sqlite3.Connection, tables: Path, tell: Tell) -> None:
    database.execute("BEGIN")
    prompts, images = _Numbers(), _Numbers()
    for shown, row in enumerate(_rows(tables / "generations")):
        if shown % 1_000 == 0:
            tell("reading images", shown, 0)

        database.execute(
            f"INSERT INTO images VALUES ({', '.join('?' * 23)})",
            (
                images[row["image_id"]],
                *(row["image_id"], row["set_id"], int(row["slot"])),
                prompts[unguarded(row["prompt"])],
                *(None, row["shown_at"], row["sha256"], unguarded(row["negative_prompt"])),
                *columns.request_numbers(row).values(),
                *(unguarded(row[name]) for name in columns.MADE_BY_COLUMNS),
                *(row["versions"], columns.unsafe_score(row), columns.withheld(row)),
            ),
        )

    voters = _Numbers()
    for vote, row in enumerate(_rows(tables / "train"), 1):
        if vote % 1_000 == 0:
            tell("reading votes", vote, 0)

        if row["image_id"] not in images:
            database.execute(
                "INSERT INTO images (image, image_id, set_id, slot, prompt) VALUES (?, ?, ?, ?, ?)",
                (
                    images[row["image_id"]],
                    *(row["image_id"], row["set_id"], int(row["slot"])),
                    prompts[unguarded(row["prompt"])],
                ),
            )

        image = images[row["image_id"]]
        database.execute(
            "UPDATE images SET path = ? WHERE image = ? AND path IS NULL", (row["path"], image)
        )
        database.execute(
            f"INSERT INTO votes VALUES ({', '.join('?' * 15)})",
            (
                *(vote, image, voters[int(row["voter_id"])], Rating(row["rating"]) == Rating.GOOD),
                *(row["voted_at"], columns.server(row), columns.own_request(row)),
                *(row["shown_in"], columns.seconds(row), columns.consent(row)),
                *(";".join(columns.reasons(row)), columns.gold(row), int(row["exposures"])),
                *(columns.repeat(row), None),
            ),
        )

    database.executemany("INSERT INTO prompts VALUES (?, ?)", prompts.pairs())
    database.executemany("INSERT INTO voters VALUES (?, ?)", voters.pairs())
    database.execute("COMMIT")
    database.executescript(_INDEXES)


def _rows(folder: Path) -> Iterator[Mapping[str, str]]:
    for _, _, row in dataset_rows(folder):
        yield row


class _Numbers(dict[str | int, int]):
    """Numbers from 1 for things, in the order in which they are first asked for."""

    def __missing__(self, thing: str | int) -> int:
        self[thing] = number = len(self) + 1

        return number

    def pairs(self) -> Iterator[tuple[int, str | int]]:
        """Each number with its thing."""
        return ((number, thing) for thing, number in self.items())

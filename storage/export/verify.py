"""Checks an export: its files, its rows as a trainer reads them, and what each row says."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from storage.dataset.layout import unguarded
from storage.errors import ExportError
from storage.export.claims import Claim, Said, WrongRow, claims
from storage.export.export import ABOUT
from storage.export.output import SUMS
from storage.export.selection import Options, same_prompt, select
from storage.export.targets import Target, target_named
from storage.reading.collection import Tell, collected
from storage.reading.oxen import checked_out

_TOLD = 20  # problems of one kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found. compared_with: the commit whose votes the rows were compared with; None if
    it was not at hand."""

    target: str
    rows: int
    problems: Sequence[str]
    compared_with: str | None


def verify(out: Path, *, dataset: Path | None, tell: Tell) -> Verified:
    """Read the export again. dataset: to compare with.

    Raises an ExportError for a folder that is no export, and a ReadingError for a dataset without
    the commit.
    """
    about = _about(out)
    target = target_named(str(about["target"]))
    tell("looking at files", 0, 0)
    problems = list(_wrong_files(out))
    with _comparison() as comparison:
        problems += comparison.note("found", _read(target, out))
        problems += comparison.leaks()
        compared = None
        if dataset is not None:
            compared = about["commit"] or "without history"
            with (
                checked_out(dataset, about["commit"]) as checkout,
                collected(checkout, tell) as collection,
            ):
                options = Options.from_json(about["options"])
                selection = select(
                    collection,
                    options,
                    target.shapes,
                    reads=target.reads,
                    tell=tell,
                )
                comparison.note("due", claims(selection))

            problems += comparison.differences()

        return Verified(
            target=target.name,
            rows=comparison.number("SELECT count(*) FROM found"),
            problems=list(dict.fromkeys(problems)),
            compared_with=compared,
        )


def _about(out: Path) -> dict[str, Any]:
    try:
        about = json.loads((out / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ExportError.no_export(out) from exc

    if not isinstance(about, dict) or not {"target", "commit", "options"} <= about.keys():
        raise ExportError.no_export(out)

    return about


def _read(target: Target, out: Path) -> Iterator[Said]:
    """The rows, as far as the files can be read."""
    try:
        yield from target.read(out)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        yield WrongRow(f"a file cannot be read: {exc}", target.name)


def _wrong_files(out: Path) -> Iterator[str]:
    """Files that are not as they were written, or that nobody wrote."""
    known = {SUMS}
    try:
        with (out / SUMS).open(encoding="utf-8") as lines:
            for line in lines:
                sha256, _, name = line.rstrip("\n").partition("  ")
                known.add(name)
                if not (out / name).is_file():
                    yield f"{name} is gone"
                    continue

                with (out / name).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                        yield f"{name} is not as it was written"
    except OSError as exc:
        yield f"{SUMS} cannot be read: {exc.strerror}"

    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and name not in known:
            yield f"{name} was not written by the export"


class _Comparison:
    """What the rows say, and what they have to say, in a database that goes away."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        for table in ("found", "due"):
            database.execute(f"CREATE TABLE {table} (split TEXT, prompt TEXT, said TEXT)")

        database.execute("CREATE TABLE images (image TEXT PRIMARY KEY)")
        database.execute("CREATE TABLE sides (prompt TEXT, split TEXT, UNIQUE (prompt, split))")

    def note(self, table: str, rows: Iterable[Said]) -> list[str]:
        """Keep what the rows say; the sentences about those that cannot be read."""
        wrong = []
        for row in rows:
            if isinstance(row, WrongRow):
                wrong.append(f"{row.what}: {row.prompt!r}")
                continue

            self._database.execute(
                f"INSERT INTO {table} VALUES (?, ?, ?)", (row.split, row.prompt, row.said)
            )
            if table == "found":
                self._database.execute(
                    "INSERT OR IGNORE INTO sides VALUES (?, ?)",
                    (same_prompt(row.prompt), row.split),
                )
            else:
                self._database.executemany(
                    "INSERT OR IGNORE INTO images VALUES (?)", [(image,) for image in row.images]
                )

        self._database.execute(f"CREATE INDEX {table}_by_said ON {table} (said, prompt, split)")

        return wrong

    def leaks(self) -> list[str]:
        """Prompts that are in two splits."""
        leaked = self._database.execute(
            "SELECT prompt FROM sides GROUP BY prompt HAVING count(*) > 1 LIMIT ?", (_TOLD,)
        )

        return [f"the prompt is in two splits: {prompt!r}" for (prompt,) in leaked]

    def differences(self) -> list[str]:
        """Rows that should not be there, and how many are missing."""
        extra = self._database.execute(
            """
            SELECT split, prompt, said, count(*) AS there, (
                SELECT count(*) FROM due WHERE due.said = found.said
                AND due.prompt = found.prompt AND due.split = found.split) AS right
            FROM found GROUP BY said, prompt, split HAVING there > right LIMIT ?
            """,
            (_TOLD,),
        )
        problems = [
            self._what_is_wrong(Claim(split, prompt, said), again=right > 0)
            for split, prompt, said, _, right in extra.fetchall()
        ]
        missing = self.number(
            """
            SELECT coalesce(sum(right - there), 0) FROM (
                SELECT count(*) AS right, (
                    SELECT count(*) FROM found WHERE found.said = due.said
                    AND found.prompt = due.prompt AND found.split = due.split) AS there
                FROM due GROUP BY said, prompt, split)
            WHERE right > there
            """
        )
        if missing:
            problems.append(f"{missing} rows that the votes make are missing")

        return problems

    def number(self, sql: str, *values: object) -> int:
        """The one number that a query finds."""
        (found,) = self._database.execute(sql, values).fetchone()

        return int(found)

    def _what_is_wrong(self, claim: Claim, *, again: bool) -> str:
        where = f"{claim.prompt!r} ({claim.split})"
        if again:
            return f"a row is there too often: {where}"

        if any(not self._has("images WHERE image = ?", image) for image in claim.images):
            return f"an image is not, byte for byte, one that people voted on: {where}"

        if self._is_due(claim.opposite):
            return f"a label is the other way round: {where}"

        plain = unguarded(claim.prompt)
        if plain != claim.prompt and self._is_due(Claim(claim.split, plain, claim.said)):
            return f"a prompt has the guard of the dataset's CSV: {where}"

        if self._has("due WHERE said = ? AND prompt = ?", claim.said, claim.prompt):
            return f"a row is in the wrong split: {where}"

        return f"no vote says this: {where}"

    def _is_due(self, claim: Claim) -> bool:
        return self._has(
            "due WHERE said = ? AND prompt = ? AND split = ?",
            *(claim.said, claim.prompt, claim.split),
        )

    def _has(self, rows: str, *values: str) -> bool:
        return bool(self.number(f"SELECT EXISTS (SELECT 1 FROM {rows})", *values))


@contextmanager
def _comparison() -> Iterator[_Comparison]:
    with (
        TemporaryDirectory(prefix="oxherd-verify-") as folder,
        closing(sqlite3.connect(Path(folder) / "rows.sqlite3")) as database,
    ):
        database.execute("PRAGMA synchronous = OFF")
        yield _Comparison(database)

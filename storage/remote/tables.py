"""Reads the tables of a dataset that others could have changed, and checks every value.

What a journal is made from goes to members and into later commits.
"""

import csv
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.clock import moment, timestamp
from storage.dataset.columns import (
    ARENA_COLUMNS,
    MAY_BE_EMPTY,
    REQUEST_RANGES,
    SHOWN_COLUMNS,
    TRAIN_COLUMNS,
    closed_at,
    made_by,
    reasons,
    reasons_cell,
    request_of,
    rule,
    versions_of,
    withheld,
)
from storage.dataset.layout import image_path, unguarded
from storage.dataset.reader import dataset_rows
from storage.errors import RecordError
from storage.journal.shards import ShardSizes
from storage.vote import Choice, Rating, ShownIn

Check = Callable[[str], object]
"""Returns something false, or raises ValueError, for a text that oxherd does not write."""

_PROMPT_CHARS = 2_000
_NAME_CHARS = 300
_JSON_CHARS = 20_000
_LARGEST = 2**63 - 1
"""The largest integer of SQLite; also above every id of Discord's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A row, and its place: the number of its file, and of the row in it from 0."""

    shard: int
    place: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """All rows of a dataset: of `generations`, of `train`, and of `arena`."""

    shown: list[TableRow]
    votes: list[TableRow]
    judged: list[TableRow]


def read_tables(dataset: Path, sizes: ShardSizes) -> Tables:
    """The tables below the folder.

    Raises RecordError, naming the file and the row, for a value that oxherd would not have written
    or that contradicts a different row.
    """
    shown = list(_rows(dataset / "generations", SHOWN_COLUMNS, _SHOWN, most=sizes.shown_rows))
    votes = list(_rows(dataset / "train", TRAIN_COLUMNS, _TRAIN, most=sizes.train_rows))
    judged = list(_rows(dataset / "arena", ARENA_COLUMNS, _ARENA, most=sizes.train_rows))
    _check_together(dataset, shown, votes)
    _check_arenas(dataset, shown, judged)

    return Tables(shown=shown, votes=votes, judged=judged)


def _rows(
    folder: Path, columns: tuple[str, ...], checks: Mapping[str, Check], *, most: int
) -> Iterator[TableRow]:
    with _one_sentence(str(folder)):
        rows = list(dataset_rows(folder))

    seen: set[tuple[int, int]] = set()
    for shard, place, cells in rows:
        row = TableRow(shard=shard, place=place, cells=cells)
        with _at(folder, row):
            if (shard, place) in seen:
                raise ValueError("two files have this number")

            seen.add((shard, place))
            if place >= most:
                raise ValueError(f"a file has {most} rows at most")

            if set(cells) != set(columns) or None in cells.values():
                raise ValueError("its columns are not those of the table")

            for column, check in checks.items():
                with _one_sentence_for(column, cells[column]):
                    if not check(cells[column]):
                        raise ValueError

        yield row


def _check_together(dataset: Path, shown: list[TableRow], votes: list[TableRow]) -> None:
    images: dict[str, Mapping[str, str]] = {}
    sets: dict[str, object] = {}
    places: set[tuple[str, str]] = set()
    for row in shown:
        cells = row.cells
        with _at(dataset / "generations", row):
            if cells["image_id"] in images or (cells["set_id"], cells["slot"]) in places:
                raise ValueError("its image has a row already")

            request = {**request_of([cells]), "seeds": None, "made_by": made_by(cells)}
            if sets.setdefault(cells["set_id"], request) != request:
                raise ValueError("it contradicts a row of the same set")

            images[cells["image_id"]] = cells
            places.add((cells["set_id"], cells["slot"]))

    paths: dict[str, str] = {}
    servers: dict[str, str] = {}
    voters: set[tuple[str, str]] = set()
    for row in votes:
        cells = row.cells
        with _at(dataset / "train", row):
            image = images.get(cells["image_id"])
            if image is None or withheld(image) is not None:
                raise ValueError("no image with its image_id was shown")

            for column in ("prompt", "set_id", "slot", "seed", "model", "revision"):
                if unguarded(cells[column]) != unguarded(image[column]):
                    raise ValueError(f"its {column} contradicts the row in generations")

            shard = int(Path(cells["path"]).parent.name)
            expected = image_path(cells["image_id"], shard=shard)
            if expected != paths.setdefault(cells["image_id"], cells["path"]):
                raise ValueError(f"its path is {_short(cells['path'])}")

            if cells["server"] != servers.setdefault(cells["set_id"], cells["server"]):
                raise ValueError("its server contradicts a row of the same set")

            if (voter := (cells["image_id"], cells["voter_id"])) in voters:
                raise ValueError("its voter has a row for the image already")

            voters.add(voter)


def _check_arenas(dataset: Path, shown: list[TableRow], judged: list[TableRow]) -> None:
    """Of arenas that are closed: the others do not say what they compare."""
    images = {row.cells["image_id"]: row.cells for row in shown}
    pairs: dict[str, object] = {}
    arenas: dict[str, object] = {}
    voters: set[tuple[str, str]] = set()
    for row in judged:
        cells = row.cells
        with _at(dataset / "arena", row):
            arena = [cells[column] for column in ("rule", "closed_at", "server")]
            if arenas.setdefault(cells["arena_id"], arena) != arena:
                raise ValueError("it contradicts a row of the same arena")

            pair = [cells[column] for column in _OF_A_PAIR]
            if pairs.setdefault(cells["pair_id"], pair) != pair:
                raise ValueError("it contradicts a row of the same pair")

            if (voter := (cells["pair_id"], cells["voter_id"])) in voters:
                raise ValueError("its voter has a row for the pair already")

            voters.add(voter)
            for side in ("left", "right") if closed_at(cells) else ():
                image = images.get(Path(cells[side]).stem)
                if image is None or withheld(image) is not None:
                    raise ValueError(f"its {side} image was not shown")

                if unguarded(image["prompt"]) != unguarded(cells["prompt"]):
                    raise ValueError("its prompt contradicts the row in generations")


@contextmanager
def _at(folder: Path, row: TableRow) -> Iterator[None]:
    with _one_sentence(f"{folder.name}/{row.shard:05d}.csv, row {row.place + 1}"):
        yield


@contextmanager
def _one_sentence(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, RecursionError, csv.Error) as exc:
        raise RecordError.not_ours(place, reason=str(exc)) from exc


@contextmanager
def _one_sentence_for(column: str, text: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, RecursionError) as exc:
        raise ValueError(f"its {column} is {_short(text)}") from exc


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _shaped(pattern: str) -> Check:
    return re.compile(pattern, re.ASCII).fullmatch


def _integer(lowest: int, highest: int) -> Check:
    shape = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)

    return lambda text: shape.fullmatch(text) and lowest <= int(text) <= highest


def _number(lowest: float, highest: float) -> Check:
    shape = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20})?(e-[0-9]{1,2})?", re.ASCII)

    return lambda text: shape.fullmatch(text) and lowest <= float(text) <= highest


def _within(lowest: float, highest: float) -> Check:
    if isinstance(lowest, int) and isinstance(highest, int):
        return _integer(lowest, highest)

    return _number(lowest, highest)


def _or_empty(check: Check) -> Check:
    return lambda text: text == "" or check(text)


def _line(most: int) -> Check:
    """Text without line breaks and control characters."""

    def check(text: str) -> bool:
        return len(text) <= most and not any(
            unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in text
        )

    return check


def _is_timestamp(text: str) -> bool:
    found = moment(text)

    return found is not None and found.tzinfo is not None and timestamp(found) == text


def _is_versions(text: str) -> bool:
    return len(text) <= _JSON_CHARS and all(map(_NAME, versions_of(text).values()))


def _are_reasons(text: str) -> bool:
    found = reasons({"reasons": text})

    return all(found) and reasons_cell(found) == text


_ID = _shaped(r"[\w-]{1,64}")
_NAME = _line(_NAME_CHARS)
_PROMPT = _line(_PROMPT_CHARS)

_SHOWN: Mapping[str, Check] = {
    "image_id": _ID,
    "set_id": _ID,
    "slot": _integer(1, 99),
    "shown_at": _is_timestamp,
    "prompt": _PROMPT,
    "negative_prompt": _PROMPT,
    **{
        column: _or_empty(_within(*limits)) if column in MAY_BE_EMPTY else _within(*limits)
        for column, limits in REQUEST_RANGES.items()
    },
    "parent": _ID,
    "strength": _or_empty(_number(0, 1)),
    "model": _NAME,
    "revision": _NAME,
    "scheduler": _NAME,
    "backend": _NAME,
    "device": _NAME,
    "dtype": _NAME,
    "versions": _is_versions,
    "sha256": _shaped("[0-9a-f]{64}"),
    "unsafe_score": _or_empty(_number(0, 1)),
    "withheld": _shaped("no|classifier|checker|doubtful"),
}

_OF_A_PAIR = ("arena_id", "prompt", "left", "right", "model_left", "model_right")

_IMAGE_PATH = _shaped(r"images/[0-9]{3,7}/[0-9]{5,9}/[\w-]{1,64}\.png")

_ARENA: Mapping[str, Check] = {
    "prompt": _PROMPT,
    "left": _IMAGE_PATH,
    "right": _IMAGE_PATH,
    "choice": lambda text: text in list(Choice),
    "voter_id": _integer(1, _LARGEST),
    "arena_id": _ID,
    "pair_id": _ID,
    "voted_at": _is_timestamp,
    "model_left": _NAME,
    "model_right": _NAME,
    "server": _shaped("unknown|[a-z]{12}"),
    "shown_in": lambda text: text in list(ShownIn),
    "seconds": _or_empty(_number(0, 1e9)),
    "consent": _shaped("not asked|version [1-9][0-9]{0,8}"),
    "rule": lambda text: rule({"rule": text}),
    "closed_at": lambda text: text == "open" or _is_timestamp(text),
}

_TRAIN: Mapping[str, Check] = {
    "prompt": _PROMPT,
    "path": _IMAGE_PATH,
    "rating": lambda text: text in list(Rating),
    "voter_id": _integer(1, _LARGEST),
    "image_id": _ID,
    "set_id": _ID,
    "slot": _integer(1, 99),
    "voted_at": _is_timestamp,
    "seed": _within(*REQUEST_RANGES["seed"]),
    "model": _NAME,
    "revision": _NAME,
    "server": _shaped("unknown|[a-z]{12}"),
    "own_request": _shaped("unknown|no|yes"),
    "shown_in": lambda text: text in list(ShownIn),
    "seconds": _or_empty(_number(0, 1e9)),
    "consent": _shaped("not asked|version [1-9][0-9]{0,8}"),
    "reasons": lambda text: _NAME(text) and _are_reasons(text),
    "gold": _shaped("no|good|bad"),
    "exposures": _integer(0, 99),
    "repeat": _shaped("not repeated|good|bad|skipped|reported|lost"),
}

"""Writes and reads the columns of the dataset's files. Pure.

The only module of `storage` that knows the fields of a request.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from storage.dataset.changes import ArenaRow, ShownRow, TrainRow
from storage.dataset.layout import guarded, image_path, unguarded
from storage.vote import BETWEEN_REASONS, NO_REASON

TRAIN_COLUMNS = (
    "prompt",
    "path",
    "rating",
    "voter_id",
    "image_id",
    "set_id",
    "slot",
    "voted_at",
    "seed",
    "model",
    "revision",
    "server",
    "own_request",
    "shown_in",
    "seconds",
    "consent",
    "reasons",
    "gold",
    "exposures",
    "repeat",
)

ARENA_COLUMNS = (
    "prompt",
    "left",
    "right",
    "choice",
    "voter_id",
    "arena_id",
    "pair_id",
    "voted_at",
    "model_left",
    "model_right",
    "server",
    "shown_in",
    "seconds",
    "consent",
    "rule",
    "closed_at",
)

REQUEST_RANGES: Mapping[str, tuple[int, int] | tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "steps": (1, 1_000),
    "guidance_scale": (0.0, 100.0),
    "width_px": (1, 8_192),
    "height_px": (1, 8_192),
}
"""The least and the most that a request's numbers may be in somebody else's dataset."""

REQUEST_NUMBERS: Mapping[str, type[int] | type[float]] = {
    name: type(lowest) for name, (lowest, _) in REQUEST_RANGES.items()
}
"""Whether a number is whole or real, by column."""

MAY_BE_EMPTY = frozenset({"guidance_scale"})
"""Those that are empty where they had no effect."""

REQUEST_COLUMNS = ("prompt", "negative_prompt", *REQUEST_RANGES)

VARIATION_COLUMNS = ("parent", "strength")
"""The image that the request varies, and how far. Rows of an older oxherd do not have them."""

MADE_BY_COLUMNS = ("model", "revision", "scheduler", "backend", "device", "dtype")
"""The part of an image's provenance that has columns; the rest is JSON in `versions`."""

SHOWN_COLUMNS = (
    "image_id",
    "set_id",
    "slot",
    "shown_at",
    *REQUEST_COLUMNS,
    *VARIATION_COLUMNS,
    *MADE_BY_COLUMNS,
    "versions",
    "sha256",
    "unsafe_score",
    "withheld",
)

# Words and no empty cells: a column of text that is empty in a whole file would be read as numbers.
_NOT_WITHHELD = "no"
_NO_PARENT = "no"
_NOT_KNOWN = "unknown"
_NOT_GOLD = "no"
_NOT_REPEATED = "not repeated"
_NOT_ASKED = "not asked"
_HIDDEN = "hidden"
_OPEN = "open"
_RULE = re.compile(
    r"([1-9][0-9]{0,5}) pairs with ([1-9][0-9]{0,5}) votes each(, stopped before)?", re.ASCII
)
_OWN_REQUEST = {None: _NOT_KNOWN, 0: "no", 1: "yes"}


def train_cells(row: TrainRow) -> tuple[str, ...]:
    """A row of `train`."""
    return (
        guarded(row.request["prompt"]),
        image_path(row.image_id, shard=row.image_shard),
        row.rating,
        str(row.voter_id),
        row.image_id,
        row.set_id,
        str(row.slot),
        row.voted_at,
        str(row.seed),
        guarded(row.provenance.get("model", "")),
        guarded(row.provenance.get("revision", "")),
        row.server or _NOT_KNOWN,
        _OWN_REQUEST[row.own_request],
        row.shown_in,
        _seconds_cell(row.seconds),
        _consent_cell(row.consent),
        reasons_cell(row.reasons),
        row.gold or _NOT_GOLD,
        str(row.exposures),
        row.repeat or _NOT_REPEATED,
    )


def arena_cells(row: ArenaRow) -> tuple[str, ...]:
    """A row of `arena`. The models are named when the arena is closed, not before."""
    is_open = row.closed_at is None

    return (
        guarded(row.request["prompt"]),
        image_path(row.left_image, shard=row.left_shard),
        image_path(row.right_image, shard=row.right_shard),
        row.choice,
        str(row.voter_id),
        row.arena_id,
        row.pair_id,
        row.voted_at,
        _HIDDEN if is_open else guarded(row.left_model),
        _HIDDEN if is_open else guarded(row.right_model),
        row.server or _NOT_KNOWN,
        row.shown_in,
        _seconds_cell(row.seconds),
        _consent_cell(row.consent),
        rule_cell(pairs=row.pairs, votes=row.votes, stopped=bool(row.stopped)),
        row.closed_at or _OPEN,
    )


def shown_cells(row: ShownRow) -> tuple[str, ...]:
    """A row of `generations`."""
    request = row.request
    made_by = [guarded(row.provenance.get(column, "")) for column in MADE_BY_COLUMNS]
    versions = {key: value for key, value in row.provenance.items() if key not in MADE_BY_COLUMNS}

    return (
        row.image_id,
        row.set_id,
        str(row.slot),
        row.shown_at,
        guarded(request["prompt"]),
        guarded(request["negative_prompt"]),
        str(row.seed),
        str(request["steps"]),
        _real_cell(request["guidance_scale"]),
        str(request["width_px"]),
        str(request["height_px"]),
        request.get("parent_id", _NO_PARENT),
        _real_cell(request.get("strength")),
        *made_by,
        json.dumps(versions, sort_keys=True, ensure_ascii=False),
        row.sha256,
        # Always with a point, so that the column is of one type in every shard.
        "" if row.unsafe_score is None else f"{row.unsafe_score:.6f}",
        row.withheld or _NOT_WITHHELD,
    )


def request_of(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The request that these rows of `generations` show, with a seed for each row.

    Raises ValueError for a cell that is no number, or a number that nobody can ask for.
    """
    first = rows[0]
    numbers = request_numbers(first)
    for name, lowest in (("steps", 1), ("guidance_scale", 0)):
        number = numbers[name]
        if number is not None and not lowest <= number < math.inf:  # refuses NaN too
            raise ValueError(f"its {name} is {number}")

    return {
        "prompt": unguarded(first["prompt"]),
        "negative_prompt": unguarded(first["negative_prompt"]),
        "seeds": [int(row["seed"]) for row in rows],
        **{name: number for name, number in numbers.items() if name != "seed"},
        # Members choose a model by the last part of its name.
        "model": PurePath(unguarded(first["model"])).name,
        **_variation(first),
    }


def _variation(row: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a request that varies an image; none for any other."""
    parent_id, strength = row.get("parent", _NO_PARENT), row.get("strength", "")
    if (parent_id == _NO_PARENT) is not (strength == ""):
        raise ValueError(f"its parent is {parent_id!r}, and its strength is {strength!r}")

    if strength == "":
        return {}

    if not 0 < float(strength) <= 1:
        raise ValueError(f"its strength is {strength}")

    return {"parent_id": parent_id, "strength": float(strength)}


def made_by(row: Mapping[str, str]) -> dict[str, str]:
    """The provenance of a `generations` row, as in the journal. Raises ValueError."""
    own = {name: unguarded(row[name]) for name in MADE_BY_COLUMNS}

    return {**own, **versions_of(row["versions"]), **own}  # in this order, and with these values


def versions_of(cell: str) -> dict[str, str]:
    """The column `versions`. Raises ValueError for anything but a JSON object of texts."""
    try:
        versions = json.loads(cell)
    except RecursionError as exc:
        raise ValueError("its versions are nested too deeply") from exc

    match versions:
        case dict() if all(isinstance(value, str) for value in versions.values()):
            return versions
        case _:
            raise ValueError("its versions are not an object of texts")


def request_numbers(row: Mapping[str, str]) -> dict[str, int | float | None]:
    """The request's numbers, of a row of `generations`; None for one that had no effect."""
    return {
        name: None if name in MAY_BE_EMPTY and row[name] == "" else kind(row[name])
        for name, kind in REQUEST_NUMBERS.items()
    }


def server(row: Mapping[str, str]) -> str | None:
    """The server's pseudonym; None where it is not known."""
    return None if row["server"] == _NOT_KNOWN else row["server"]


def own_request(row: Mapping[str, str]) -> int | None:
    """Whether the voter asked for the image, as in the journal; None where it is not known."""
    return next(value for value, cell in _OWN_REQUEST.items() if cell == row["own_request"])


def _real_cell(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _seconds_cell(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


def _consent_cell(version: int | None) -> str:
    return _NOT_ASKED if version is None else f"version {version}"


def rule_cell(*, pairs: int, votes: int, stopped: bool) -> str:
    """When the arena was to end, and whether moderators ended it before."""
    return f"{pairs} pairs with {votes} votes each{', stopped before' if stopped else ''}"


def rule(row: Mapping[str, str]) -> tuple[int, int, bool]:
    """The arena's rule: pairs, votes on each, and whether it was stopped before. Raises ValueError
    for a cell that `rule_cell` does not write."""
    match = _RULE.fullmatch(row["rule"])
    if match is None:
        raise ValueError(f"its rule is {row['rule']!r}")

    return int(match[1]), int(match[2]), match[3] is not None


def closed_at(row: Mapping[str, str]) -> str | None:
    """When the arena was closed; None for one that was open, whose models are hidden."""
    return None if row["closed_at"] == _OPEN else row["closed_at"]


def seconds(row: Mapping[str, str]) -> float | None:
    """From being shown to the press; None where nobody could know."""
    return float(row["seconds"]) if row["seconds"] else None


def consent(row: Mapping[str, str]) -> int | None:
    """The version of the text that the voter agreed to; None where none was set."""
    return None if row["consent"] == _NOT_ASKED else int(row["consent"].removeprefix("version "))


def reasons_cell(reasons: Sequence[str]) -> str:
    """Why the voter voted so, as one cell."""
    return guarded(BETWEEN_REASONS.join(reasons)) if reasons else NO_REASON


def reasons(row: Mapping[str, str]) -> list[str]:
    """Why the voter voted so; empty if they did not say."""
    cell = row["reasons"]

    return [] if cell == NO_REASON else unguarded(cell).split(BETWEEN_REASONS)


def gold(row: Mapping[str, str]) -> str | None:
    """The right rating of a gold image; None for any other."""
    return None if row["gold"] == _NOT_GOLD else row["gold"]


def repeat(row: Mapping[str, str]) -> str | None:
    """What the voter answered when /rate showed them the image again; None if it did not."""
    return None if row["repeat"] == _NOT_REPEATED else row["repeat"]


def unsafe_score(row: Mapping[str, str]) -> float | None:
    """The image classifier's score; None without a classifier."""
    return float(row["unsafe_score"]) if row["unsafe_score"] else None


def withheld(row: Mapping[str, str]) -> str | None:
    """Who withheld the image; None for one that people were shown."""
    return None if row["withheld"] == _NOT_WITHHELD else row["withheld"]

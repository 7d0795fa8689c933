"""Reads rows and images from the dataset's files, for `oxherd replay` and for take-over.

Needs neither the journal nor the repository, so it works while a bot runs, and on any copy of the
dataset. The writer replaces whole files, so a reader never sees half of one.
"""

import csv
import difflib
import io
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.dataset.columns import (
    MADE_BY_COLUMNS,
    MAY_BE_EMPTY,
    REQUEST_COLUMNS,
    VARIATION_COLUMNS,
    made_by,
    request_of,
)
from storage.errors import RecordError
from storage.journal.spool import Spool

_IMAGE_ID = re.compile(r"[\w-]+")
_SLOT = re.compile(r"[1-9][0-9]{0,3}")
_SHARD = re.compile(r"[0-9]{5}|[1-9][0-9]{5,8}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")

_FILE_BYTES = 64 * 2**20
"""More than any table or image that oxherd writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedImage:
    """A row of `generations`: the request, what made the image, and the hash of its bytes.

    slot: the image's number in its set, from 1. request: with this image's seed only.
    made_by: the journal's provenance.
    """

    image_id: str
    slot: int
    request: Mapping[str, Any]
    made_by: Mapping[str, str]
    sha256: str


def find_recorded(dataset: Path, image_id: str) -> RecordedImage:
    """The row of an image.

    Raises a RecordError when there is none, with the most similar id, or when the row is unusable.
    """
    known = []
    try:
        for _, _, row in dataset_rows(dataset / "generations"):
            if row.get("image_id") == image_id:
                return recorded_image(row)

            known.append(row.get("image_id") or "")
    except (OSError, ValueError, csv.Error) as exc:  # not UTF-8, not a table, not ours
        raise RecordError.unusable(image_id, reason=f"{dataset} cannot be read: {exc}") from exc

    raise RecordError.absent(
        dataset, image_id, nearest=difflib.get_close_matches(image_id, known, n=1)
    )


def recorded_image(row: Mapping[str, str | None]) -> RecordedImage:
    """The row as a value. Raises a RecordError that names the wrong column."""
    image_id = row.get("image_id") or ""

    def cell(column: str, shape: re.Pattern[str] | None = None) -> str:
        text = row.get(column)
        if not text or (shape is not None and not shape.fullmatch(text)):
            found = "is not there" if not text else f"is {text!r}"
            raise RecordError.unusable(image_id, reason=f"its {column} {found}")

        return text

    cells = {
        name: "" if name in MAY_BE_EMPTY and row.get(name) == "" else cell(name)
        for name in (*REQUEST_COLUMNS, *MADE_BY_COLUMNS, "versions")
    }
    cells |= {name: row[name] or "" for name in VARIATION_COLUMNS if name in row}
    try:
        return RecordedImage(
            image_id=cell("image_id", _IMAGE_ID),
            slot=int(cell("slot", _SLOT)),
            request=request_of([cells]),
            made_by=made_by(cells),
            sha256=cell("sha256", _SHA256),
        )
    except (ValueError, TypeError, AttributeError) as exc:  # a number or JSON that is none
        raise RecordError.unusable(image_id, reason=str(exc)) from exc


def recorded_bytes(image: RecordedImage, dataset: Path, *, spool: Path | None) -> bytes | None:
    """The image's bytes, if they are in the spool or in the dataset. Raises RecordError."""
    waiting = None if spool is None else Spool(spool).read(image.image_id)
    if waiting is not None:
        return waiting

    for path in dataset.glob(f"images/*/*/{image.image_id}.png"):
        try:
            return _read(path, within=dataset)
        except (OSError, ValueError) as exc:
            raise RecordError.unusable(image.image_id, reason=str(exc)) from exc

    return None


def dataset_rows(folder: Path) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Every row in the files of `train` or `generations`, after its shard and its place there.

    Raises OSError, ValueError or csv.Error for what is not a plain file with a table.
    """
    for file in sorted(folder.rglob("*.csv")):
        text = io.StringIO(_read(file, within=folder.parent).decode(), newline="")
        if not _SHARD.fullmatch(file.stem):
            raise ValueError(f"{file} is not numbered as oxherd's files are")

        for place, row in enumerate(csv.DictReader(text)):
            yield int(file.stem), place, row


def _read(file: Path, *, within: Path) -> bytes:
    """The content of a plain file. Raises ValueError for a link, which could lead anywhere."""
    inside = file.relative_to(within)
    for place in (file, *(within / parent for parent in inside.parents if parent != Path())):
        if place.is_symlink():
            raise ValueError(f"{place} is a link, which is not followed")

    found = file.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _FILE_BYTES:
        raise ValueError(f"{file} is not a plain file of at most {_FILE_BYTES:,} bytes")

    return file.read_bytes()

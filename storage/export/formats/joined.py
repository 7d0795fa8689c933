"""One row an image, with everything that is known of it: as Parquet, or as a folder of images."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow

from storage.dataset import columns
from storage.export.claims import Claim, Said, WrongRow, counted
from storage.export.formats.parquet import ParquetFiles, read_parquet
from storage.export.output import Output
from storage.export.rows import joined
from storage.export.selection import SPLITS, Selection

METADATA = "metadata.jsonl"

_TEXT, _WHOLE, _REAL = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
_KINDS = {int: _WHOLE, float: _REAL}

_VOTE = {
    "voter": _TEXT,
    "rating": _TEXT,
    "voted_at": _TEXT,
    "server": _TEXT,
    "own_request": pyarrow.bool_(),
    "shown_in": _TEXT,
    "seconds": _REAL,
    "consent": _WHOLE,
    "reasons": pyarrow.list_(_TEXT),
    "exposures": _WHOLE,
    "repeat": _TEXT,
}

_COLUMNS = {
    "image": pyarrow.binary(),
    "image_id": _TEXT,
    "prompt": _TEXT,
    "set_id": _TEXT,
    "slot": _WHOLE,
    "shown_at": _TEXT,
    "negative_prompt": _TEXT,
    **{name: _KINDS[kind] for name, kind in columns.REQUEST_NUMBERS.items()},
    **dict.fromkeys(columns.MADE_BY_COLUMNS, _TEXT),
    "versions": _TEXT,
    "unsafe_score": _REAL,
    "sha256": _TEXT,
    "good": _WHOLE,
    "bad": _WHOLE,
    "label": _TEXT,
    "certainty": _REAL,
    "gold": _TEXT,
    "exposures": _WHOLE,
    "votes": pyarrow.list_(pyarrow.struct(_VOTE)),
}


def write_parquet(selection: Selection, output: Output) -> None:
    """`train`, `validation` and `test`, each with Parquet files; `image` has the bytes."""
    schema = pyarrow.schema(_COLUMNS)
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(ParquetFiles(output, split, schema)) for split in SPLITS
        }
        for row in joined(selection):
            png = row.picture.png()
            files[row.split].add({"image": png, **row.values}, image_bytes=len(png))


def read_joined_parquet(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split in SPLITS:
        for row in read_parquet(root / split):
            sha256 = hashlib.sha256(row["image"]).hexdigest()
            yield Claim(split, row["prompt"], counted(sha256, good=row["good"], bad=row["bad"]))


def write_imagefolder(selection: Selection, output: Output) -> None:
    """A folder for each split that has images, with the images and `metadata.jsonl`."""
    with ExitStack() as stack:
        tables = {}
        for row in joined(selection):
            table = f"{row.split}/{METADATA}"
            if row.split not in tables:
                file = output.path(table).open("w", encoding="utf-8")
                tables[row.split] = stack.enter_context(file)

            output.picture(f"{row.split}/{row.picture.name}", row.picture)
            line = {"file_name": row.picture.name, **row.values}
            tables[row.split].write(json.dumps(line, ensure_ascii=False) + "\n")

    for split in SPLITS:
        if split in tables:
            output.note(f"{split}/{METADATA}")


def read_imagefolder(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split in SPLITS:
        table = root / split / METADATA
        if not table.exists():
            continue

        with table.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                sha256 = sha256_of(table.parent / row["file_name"])
                if sha256 is None:
                    yield gone(row["file_name"], prompt=row["prompt"])
                    continue

                yield Claim(split, row["prompt"], counted(sha256, good=row["good"], bad=row["bad"]))


def sha256_of(file: Path) -> str | None:
    """The hash of an image that a row names; None if it is not there."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def gone(name: str, *, prompt: str) -> WrongRow:
    """A row whose image is not there. Some trainers silently take another row for it."""
    return WrongRow(f"the image {name} of a row is gone", prompt)

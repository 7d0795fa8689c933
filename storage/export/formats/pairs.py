"""Pairs as Parquet with the images' bytes: for Diffusion-DPO, and for PickScore.

The scripts open `jpg_0` with `io.BytesIO`, so the column holds bytes and not `datasets` images.
They swap a pair only where `label_0` is 0, so a tie would train as a win: there are none.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow

from storage.export.claims import Claim, Said, WrongRow, better
from storage.export.formats.parquet import ParquetFiles, read_parquet
from storage.export.output import Output
from storage.export.rows import Pair, pairs
from storage.export.selection import SPLITS, Selection

_DPO = pyarrow.schema(
    {
        "jpg_0": pyarrow.binary(),
        "jpg_1": pyarrow.binary(),
        "label_0": pyarrow.int64(),
        "caption": pyarrow.string(),
    }
)


PICKSCORE_SPLITS = {"train": "train", "validation": "validation_unique", "test": "test_unique"}

_PICKSCORE = pyarrow.schema(
    {
        "caption": pyarrow.string(),
        "jpg_0": pyarrow.binary(),
        "jpg_1": pyarrow.binary(),
        "label_0": pyarrow.float64(),
        "label_1": pyarrow.float64(),
        "has_label": pyarrow.bool_(),
        "are_different": pyarrow.bool_(),
        "num_example_per_prompt": pyarrow.int64(),
        "image_0_uid": pyarrow.string(),
        "image_1_uid": pyarrow.string(),
        "best_image_uid": pyarrow.string(),
        "user_id": pyarrow.string(),
        "__index_level_0__": pyarrow.int64(),
    }
)


def write_dpo(selection: Selection, output: Output) -> None:
    """`train`, `validation` and `test`, each with Parquet files."""
    with ExitStack() as stack:
        files = {split: stack.enter_context(ParquetFiles(output, split, _DPO)) for split in SPLITS}
        for pair in pairs(selection):
            row = _row(pair)
            files[pair.split].add(row, image_bytes=len(row["jpg_0"]) + len(row["jpg_1"]))


def write_pickscore(selection: Selection, output: Output) -> None:
    """`train`, `validation_unique` and `test_unique`, with the columns of Pick-a-Pic."""
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(ParquetFiles(output, folder, _PICKSCORE))
            for split, folder in PICKSCORE_SPLITS.items()
        }
        for number, pair in enumerate(pairs(selection)):
            row = _row(pair)
            row |= {
                "label_0": float(pair.first_is_better),
                "label_1": float(not pair.first_is_better),
                "has_label": True,
                "are_different": row["jpg_0"] != row["jpg_1"],
                "num_example_per_prompt": pair.of_prompt,
                "image_0_uid": pair.first.image_id,
                "image_1_uid": pair.second.image_id,
                "best_image_uid": pair.better.image_id,
                "user_id": pair.voter,
                "__index_level_0__": number,
            }
            files[pair.split].add(row, image_bytes=len(row["jpg_0"]) + len(row["jpg_1"]))


def read_pickscore(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split, folder in PICKSCORE_SPLITS.items():
        for row in read_parquet(root / folder):
            yield said(row, split)


def read_dpo(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split in SPLITS:
        for row in read_parquet(root / split):
            yield said(row, split)


def said(row: Mapping[str, Any], split: str) -> Said:
    """What one row says; wrong are ties, and images that are not bytes."""
    first, second, label = row["jpg_0"], row["jpg_1"], row["label_0"]
    if not isinstance(first, bytes) or not isinstance(second, bytes):
        return WrongRow("an image is not raw bytes, which the script opens", row["caption"])

    if label not in (0, 1) or row.get("label_1", 1 - label) != 1 - label:
        return WrongRow("a tie, which would train as a win", row["caption"])

    good, bad = (first, second) if label == 1 else (second, first)

    return Claim(split, row["caption"], better(_sha256(good), _sha256(bad)))


def _row(pair: Pair) -> dict[str, Any]:
    return {
        "jpg_0": pair.first.png(),
        "jpg_1": pair.second.png(),
        "label_0": int(pair.first_is_better),
        "caption": pair.prompt,
    }


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

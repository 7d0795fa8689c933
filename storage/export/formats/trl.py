"""Conversations about images: for TRL's KTO and DPO trainers, and vision-language models.

TRL puts `images` before the first message of `prompt`, and trains on `completion`, or on `chosen`
and `rejected`. So the model learns to judge images as the voters do.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow

from storage.export.claims import Claim, Said, WrongRow, better, rated
from storage.export.formats.parquet import ParquetFiles, read_parquet, shown_as
from storage.export.output import Output
from storage.export.rows import Picture, pairs, ratings
from storage.export.selection import SPLITS, Selection

_IS_GOOD = "This image was made for the prompt below. Is it good?\n\n"
_WHICH = "These two images were made for the prompt below. Which one is better?\n\n"
_YES, _FIRST, _SECOND = "Yes.", "The first.", "The second."

_IMAGES = pyarrow.list_(pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}))
_MESSAGES = pyarrow.list_(pyarrow.struct({"role": pyarrow.string(), "content": pyarrow.string()}))

_TEXT = {"dtype": "string", "_type": "Value"}
_SHOWN_IMAGES = {"feature": {"_type": "Image"}, "_type": "List"}
_SHOWN_MESSAGES = {"feature": {"role": _TEXT, "content": _TEXT}, "_type": "List"}


def _schema(messages: tuple[str, ...], labelled: bool) -> pyarrow.Schema:
    columns = {"images": _IMAGES, **dict.fromkeys(messages, _MESSAGES)}
    shown: dict[str, Any] = {"images": _SHOWN_IMAGES, **dict.fromkeys(messages, _SHOWN_MESSAGES)}
    if labelled:
        columns["label"] = pyarrow.bool_()
        shown["label"] = {"dtype": "bool", "_type": "Value"}

    return shown_as(pyarrow.schema(columns), shown)


_KTO = _schema(("prompt", "completion"), labelled=True)
_DPO = _schema(("prompt", "chosen", "rejected"), labelled=False)


def write_trl(selection: Selection, output: Output) -> None:
    """`kto` and `dpo`, each with `train`, `validation` and `test`."""
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(ParquetFiles(output, f"kto/{split}", _KTO))
            for split in SPLITS
        }
        for row in ratings(selection):
            images = _images(row.picture)
            files[row.split].add(
                {
                    "images": images,
                    "prompt": _message("user", _IS_GOOD + row.prompt),
                    "completion": _message("assistant", _YES),
                    "label": row.good,
                },
                image_bytes=_size(images),
            )

    with ExitStack() as stack:
        files = {
            split: stack.enter_context(ParquetFiles(output, f"dpo/{split}", _DPO))
            for split in SPLITS
        }
        for pair in pairs(selection):
            images = _images(pair.first, pair.second)
            answers = (_FIRST, _SECOND) if pair.first_is_better else (_SECOND, _FIRST)
            files[pair.split].add(
                {
                    "images": images,
                    "prompt": _message("user", _WHICH + pair.prompt),
                    "chosen": _message("assistant", answers[0]),
                    "rejected": _message("assistant", answers[1]),
                },
                image_bytes=_size(images),
            )


def read_trl(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split in SPLITS:
        for row in read_parquet(root / "kto" / split):
            prompt = _content(row["prompt"]).removeprefix(_IS_GOOD)
            (image,) = _hashes(row["images"])
            yield Claim(split, prompt, rated(image, good=row["label"]))

        for row in read_parquet(root / "dpo" / split):
            prompt = _content(row["prompt"]).removeprefix(_WHICH)
            first, second = _hashes(row["images"])
            match _content(row["chosen"]), _content(row["rejected"]):
                case (str(chosen), str(rejected)) if (chosen, rejected) == (_FIRST, _SECOND):
                    yield Claim(split, prompt, better(first, second))
                case (str(chosen), str(rejected)) if (chosen, rejected) == (_SECOND, _FIRST):
                    yield Claim(split, prompt, better(second, first))
                case _:
                    yield WrongRow("chosen and rejected are not the two answers", prompt)


def _images(*pictures: Picture) -> list[dict[str, Any]]:
    return [{"bytes": picture.png(), "path": f"{picture.image_id}.png"} for picture in pictures]


def _size(images: list[dict[str, Any]]) -> int:
    return sum(len(image["bytes"]) for image in images)


def _message(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def _content(messages: list[dict[str, str]]) -> str:
    (message,) = messages

    return message["content"]


def _hashes(images: list[dict[str, Any]]) -> list[str]:
    return [hashlib.sha256(image["bytes"]).hexdigest() for image in images]

"""Pairs and rankings as JSON beside the images: for reward models.

The loaders of HPSv2 and HPSv3 silently take a different row for one whose image they cannot open,
so every path is looked up after writing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Any, TextIO

from storage.errors import ExportError
from storage.export.claims import Claim, Said, WrongRow, better
from storage.export.formats.joined import gone, sha256_of
from storage.export.output import Output
from storage.export.rows import Picture, pairs, rankings
from storage.export.selection import SPLITS, Selection

_IMAGE_REWARD_FILES = {"train": "train.json", "validation": "valid.json", "test": "test.json"}
_FILES = {split: f"{split}.json" for split in SPLITS}


def write_imagereward(selection: Selection, output: Output) -> None:
    """Rankings: all images of a set that one voter rated, the good ones before the bad ones."""
    _write(
        (
            (
                ranking.split,
                {
                    "id": f"{ranking.set_id}-{ranking.voter}",
                    "prompt": ranking.prompt,
                    "generations": [_place(output, picture) for picture in ranking.pictures],
                    "ranking": ranking.ranks,
                },
            )
            for ranking in rankings(selection)
        ),
        output,
        _IMAGE_REWARD_FILES,
    )


def read_imagereward(root: Path) -> Iterator[Said]:
    """What the rows say: each two of a ranking that are not of one rank."""
    for split, row in _read(root, _IMAGE_REWARD_FILES):
        ranked = list(zip(row["generations"], row["ranking"], strict=True))
        for (first, its_rank), (second, other_rank) in combinations(ranked, 2):
            if its_rank != other_rank:
                best_first = (first, second) if its_rank < other_rank else (second, first)
                yield _said(root, split, row["prompt"], best_first)


def write_hpsv2(selection: Selection, output: Output) -> None:
    """Pairs in the order of the images' numbers, with 1 for the better one."""
    _write(
        (
            (
                pair.split,
                {
                    "prompt": pair.prompt,
                    "file_path": [_place(output, pair.first), _place(output, pair.second)],
                    "human_preference": [int(pair.first_is_better), int(not pair.first_is_better)],
                },
            )
            for pair in pairs(selection)
        ),
        output,
        _FILES,
    )
    _look_up(output, "file_path")


def read_hpsv2(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split, row in _read(root, _FILES):
        match row["human_preference"]:
            case [1, 0]:
                yield _said(root, split, row["prompt"], row["file_path"])
            case [0, 1]:
                yield _said(root, split, row["prompt"], row["file_path"][::-1])
            case _:
                yield WrongRow("a tie, which would train as a preference", row["prompt"])


def write_hpsv3(selection: Selection, output: Output) -> None:
    """Pairs with the better image first, which the trainer always takes for the better one."""
    _write(
        (
            (
                pair.split,
                {
                    "path1": _place(output, pair.better),
                    "path2": _place(output, pair.worse),
                    "prompt": pair.prompt,
                    "choice_dist": [1.0, 0.0],
                },
            )
            for pair in pairs(selection)
        ),
        output,
        _FILES,
    )
    _look_up(output, "path1", "path2")


def read_hpsv3(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split, row in _read(root, _FILES):
        first, second = row["choice_dist"]
        if first <= second:
            yield WrongRow(
                "the first image, which always wins, is not the better one", row["prompt"]
            )
        else:
            yield _said(root, split, row["prompt"], (row["path1"], row["path2"]))


def _place(output: Output, picture: Picture) -> str:
    name = f"images/{picture.name}"
    output.picture(name, picture)

    return name


def _write(
    rows: Iterator[tuple[str, Mapping[str, Any]]], output: Output, files: Mapping[str, str]
) -> None:
    """A list in JSON for each split, a row a line, also where there are no rows."""
    with ExitStack() as stack:
        lists: dict[str, TextIO] = {}
        for split, name in files.items():
            lists[split] = stack.enter_context(output.path(name).open("w", encoding="utf-8"))
            lists[split].write("[")

        before = dict.fromkeys(files, "\n")
        for split, row in rows:
            lists[split].write(before[split] + json.dumps(row, ensure_ascii=False))
            before[split] = ",\n"

        for written in lists.values():
            written.write("\n]\n")

    for name in files.values():
        output.note(name)


def _read(root: Path, files: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its split. A row a line, so that not all are in memory."""
    for split, name in files.items():
        with (root / name).open(encoding="utf-8") as lines:
            for line in lines:
                text = line.strip().removesuffix(",")
                if text not in ("[", "]"):
                    yield split, json.loads(text)


def _look_up(output: Output, *columns: str) -> None:
    """Raise an ExportError if a row names an image that is not there."""
    for _, row in _read(output.root, _FILES):
        for column in columns:
            paths = row[column] if isinstance(row[column], list) else [row[column]]
            for path in paths:
                if not (output.root / path).is_file():
                    raise ExportError.failed(output.root, reason=f"{path} is not there")


def _said(root: Path, split: str, prompt: str, best_first: Sequence[str]) -> Said:
    hashes = [sha256_of(root / name) for name in best_first]
    for name, sha256 in zip(best_first, hashes, strict=True):
        if sha256 is None:
            return gone(name, prompt=prompt)

    return Claim(split, prompt, better(*map(str, hashes)))

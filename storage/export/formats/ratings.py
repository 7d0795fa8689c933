"""One rating of one image: for Diffusion-KTO, as a CSV file beside the images.

The script takes `file_name`, `caption` and `split`, where `split` is the label; its manual says
`file_path` and `label`, so both are there. It reads the CSV with pandas, which takes some prompts
for missing: those are left out, and none has the script's third label, `intersections`.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from storage.errors import ExportError
from storage.export.claims import Claim, Said, WrongRow, rated
from storage.export.formats.joined import gone, sha256_of
from storage.export.output import Output
from storage.export.rows import ratings
from storage.export.selection import SPLITS, Selection

_COLUMNS = ("file_name", "caption", "split", "file_path", "label")
_WIN, _LOSE = "exclusive_win", "exclusive_lose"

# What pandas takes for missing by default.
_MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)


def reads(prompt: str) -> bool:
    """Whether pandas reads this prompt as text, among others."""
    return prompt not in _MISSING


def write_kto(selection: Selection, output: Output) -> None:
    """`train_processed_v3.csv` with the images in `train`, and the same for the other splits.

    Raises an ExportError if there is nothing good or nothing bad to train on, or if all prompts of
    a file are numbers, which pandas would not read as text.
    """
    labels, texts = defaultdict[str, set[str]](set), set()
    with ExitStack() as stack:
        tables: dict[str, Any] = {}
        for row in ratings(selection):
            if row.split not in tables:
                path = output.path(_table(row.split))
                file = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
                tables[row.split] = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
                tables[row.split].writerow(_COLUMNS)

            name = f"{row.split}/{row.picture.name}"
            label = _WIN if row.good else _LOSE
            output.picture(name, row.picture)
            tables[row.split].writerow((name, row.prompt, label, name, label))
            labels[row.split].add(label)
            if not _is_number(row.prompt):
                texts.add(row.split)

    for missing in (_WIN, _LOSE):
        if missing not in labels["train"]:
            raise ExportError.one_class(missing=missing)

    if texts != tables.keys():
        raise ExportError.numbers_only()

    for split in SPLITS:
        if split in tables:
            output.note(_table(split))


def read_kto(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split in SPLITS:
        table = root / _table(split)
        if not table.exists():
            continue

        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield _said(row, root, split)


def _said(row: dict[str, str], root: Path, split: str) -> Said:
    prompt, label = row["caption"], row["split"]
    sha256 = sha256_of(root / row["file_name"])
    if sha256 is None:
        return gone(row["file_name"], prompt=prompt)

    if label not in (_WIN, _LOSE) or label != row["label"]:
        return WrongRow(f"{label!r} is not a label", prompt)

    if not reads(prompt):
        return WrongRow("the trainer takes the prompt for missing", prompt)

    return Claim(split, prompt, rated(sha256, good=label == _WIN))


def _table(split: str) -> str:
    return f"{split}_processed_v3.csv"


def _is_number(text: str) -> bool:
    """Whether pandas could read it as a number or a boolean."""
    try:
        float(text)
    except ValueError:
        return text.lower() in ("true", "false")

    return True

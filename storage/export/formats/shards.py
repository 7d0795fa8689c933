"""WebDataset shards: of pairs, for diffusers' ORPO script, and of images."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from storage.export.claims import Claim, Said, WrongRow, better, counted
from storage.export.formats.tar import TarFiles, read_tar
from storage.export.output import Output
from storage.export.rows import joined, pairs
from storage.export.selection import SPLITS, Selection


def write_orpo(selection: Selection, output: Output) -> None:
    """Pairs. The script compares the label's text with a number, so that for it the first image
    always wins: therefore the better image is always `jpg_0`."""
    with ExitStack() as stack:
        files = {split: stack.enter_context(TarFiles(output, split)) for split in SPLITS}
        for number, pair in enumerate(pairs(selection)):
            files[pair.split].add(
                f"{number:08d}",
                {
                    "original_prompt.txt": pair.prompt.encode(),
                    "jpg_0.jpg": pair.better.png(),
                    "jpg_1.jpg": pair.worse.png(),
                    "label_0.txt": b"1",
                    "label_1.txt": b"0",
                },
            )


def read_orpo(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split in SPLITS:
        for sample in read_tar(root / split):
            prompt = sample["original_prompt.txt"].decode()
            if (sample["label_0.txt"], sample["label_1.txt"]) != (b"1", b"0"):
                yield WrongRow("the first image, which always wins, is not the better one", prompt)
                continue

            first, second = (
                hashlib.sha256(sample[name]).hexdigest() for name in ("jpg_0.jpg", "jpg_1.jpg")
            )
            yield Claim(split, prompt, better(first, second))


def write_webdataset(selection: Selection, output: Output) -> None:
    """Images with their prompts, and all that is known of them as JSON."""
    with ExitStack() as stack:
        files = {split: stack.enter_context(TarFiles(output, split)) for split in SPLITS}
        for row in joined(selection):
            files[row.split].add(
                row.picture.image_id,
                {
                    "png": row.picture.png(),
                    "txt": row.prompt.encode(),
                    "json": json.dumps(row.values, ensure_ascii=False).encode(),
                },
            )


def read_webdataset(root: Path) -> Iterator[Said]:
    """What the rows say."""
    for split in SPLITS:
        for sample in read_tar(root / split):
            about, prompt = json.loads(sample["json"]), sample["txt"].decode()
            if about["prompt"] != prompt:
                yield WrongRow("the prompt is not the one in the JSON", prompt)
                continue

            sha256 = hashlib.sha256(sample["png"]).hexdigest()
            yield Claim(split, prompt, counted(sha256, good=about["good"], bad=about["bad"]))

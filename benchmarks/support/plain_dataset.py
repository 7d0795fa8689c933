"""A dataset as plain files, without Oxen: a copy as people download it.

One of a wanted size, whose images all have the same bytes, in one file for each folder; or one of
given images and votes.
"""

import hashlib
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from storage.dataset.changes import ShownRow, TrainRow
from storage.dataset.columns import SHOWN_COLUMNS, TRAIN_COLUMNS, shown_cells, train_cells
from storage.dataset.layout import csv_file, image_path, shown_path, train_path
from storage.journal.queries import SHARD_SIZES

AT = "2026-05-04T12:00:00.000000Z"
SLOTS = 4
RATERS = 4
_VOTERS = 200
_PROVENANCE = {"model": "a/model", "revision": "0", "scheduler": "PNDMScheduler"}


def write_dataset(root: Path, *, votes: int, images: int, side_px: int) -> None:
    """So many votes, spread over so many images, in sets of four; each set has its own prompt."""
    chance = random.Random(1)
    png = _png(side_px, chance)
    sha256 = hashlib.sha256(png).hexdigest()
    first_of: dict[Path, Path] = {}
    for number in range(images):
        path = root / image_path(_image_id(number), shard=number // SHARD_SIZES.images)
        path.parent.mkdir(parents=True, exist_ok=True)
        first = first_of.setdefault(path.parent, path)
        if path == first:
            path.write_bytes(png)
        else:
            path.hardlink_to(first)

    shown = (shown_cells(_shown(number, sha256=sha256)) for number in range(images))
    for shard, rows in enumerate(_in_shards(shown, SHARD_SIZES.shown_rows)):
        _write(root / shown_path(shard), csv_file(SHOWN_COLUMNS, rows))

    cast = (train_cells(_vote(number, images=images, chance=chance)) for number in range(votes))
    for shard, rows in enumerate(_in_shards(cast, SHARD_SIZES.train_rows)):
        _write(root / train_path(shard), csv_file(TRAIN_COLUMNS, rows))


def write_voted(root: Path, sets: Mapping[str, Sequence[tuple[bytes, bool]]]) -> None:
    """For each prompt a set: its images as PNG files, and whether their one voter liked each."""
    images = [
        (number, prompt, png, liked)
        for number, (prompt, png, liked) in enumerate(
            (prompt, png, liked) for prompt, rated in sets.items() for png, liked in rated
        )
    ]
    places = {prompt: place for place, prompt in enumerate(sets)}
    first = {prompt: number for number, prompt, _, _ in reversed(images)}
    shown, cast = [], []
    for number, prompt, png, liked in images:
        shard = number // SHARD_SIZES.images
        path = root / image_path(_image_id(number), shard=shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        with Image.open(path) as image:
            size = {"width_px": image.width, "height_px": image.height}

        common: dict[str, Any] = {
            "set_id": f"set-{places[prompt]}",
            "slot": number - first[prompt] + 1,
            "request": {**_request(number), "prompt": prompt, **size},
        }
        shown.append(replace(_shown(number, sha256=hashlib.sha256(png).hexdigest()), **common))
        vote = _vote(number, images=len(images), chance=random.Random(0))
        cast.append(
            replace(
                vote,
                **common,
                image_id=_image_id(number),
                image_shard=shard,
                rating="good" if liked else "bad",
                voter_id=10**17 + places[prompt],
            )
        )

    for shard, rows in enumerate(_in_shards(map(shown_cells, shown), SHARD_SIZES.shown_rows)):
        _write(root / shown_path(shard), csv_file(SHOWN_COLUMNS, rows))

    for shard, rows in enumerate(_in_shards(map(train_cells, cast), SHARD_SIZES.train_rows)):
        _write(root / train_path(shard), csv_file(TRAIN_COLUMNS, rows))


def _vote(number: int, *, images: int, chance: random.Random) -> TrainRow:
    """Set after set; the voters of a set rate all its images."""
    image = number // (SLOTS * RATERS) * SLOTS + number % SLOTS
    image %= images
    voter = (number // SLOTS * 7) % _VOTERS

    return TrainRow(
        seq=number,
        image_id=_image_id(image),
        image_shard=image // SHARD_SIZES.images,
        set_id=f"set-{image // SLOTS}",
        slot=image % SLOTS + 1,
        seed=image,
        request=_request(image),
        rating="good" if chance.random() < 0.5 else "bad",
        voter_id=10**17 + voter,
        voted_at=AT,
        provenance=_PROVENANCE,
        server="server",
        own_request=0,
        shown_in="post",
        seconds=chance.random() * 10,
        consent=None,
        reasons=(),
        gold=None,
        exposures=0,
        repeat=None,
    )


def _shown(number: int, *, sha256: str) -> ShownRow:
    return ShownRow(
        seq=number,
        image_id=_image_id(number),
        set_id=f"set-{number // SLOTS}",
        slot=number % SLOTS + 1,
        seed=number,
        sha256=sha256,
        shown_at=AT,
        request=_request(number),
        unsafe_score=None,
        withheld=None,
        provenance=_PROVENANCE,
    )


def _request(image: int) -> dict[str, object]:
    return {
        "prompt": f"a fox number {image // SLOTS}",
        "negative_prompt": "",
        "steps": 20,
        "guidance_scale": 7.5,
        "width_px": 512,
        "height_px": 512,
    }


def _image_id(number: int) -> str:
    return f"{number:022d}"


def _png(side_px: int, chance: random.Random) -> bytes:
    out = io.BytesIO()
    pixels = chance.randbytes(side_px * side_px * 3)
    Image.frombytes("RGB", (side_px, side_px), pixels).save(out, "PNG")

    return out.getvalue()


def _in_shards(rows: Iterator[tuple[str, ...]], size: int) -> Iterator[list[tuple[str, ...]]]:
    while shard := list(islice(rows, size)):
        yield shard


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

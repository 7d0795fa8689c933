"""A dataset whose one voter likes some pictures more than others, for what learns from votes."""

import io
from pathlib import Path
from random import Random

from PIL import Image

from benchmarks.support.plain_dataset import write_voted

VOTES = 240


def write_tastes(root: Path, *, votes: int = VOTES, side_px: int = 32) -> None:
    """Sets of four noisy pictures, of which the voter likes the two red ones."""
    random = Random(1)
    sets = {}
    for number in range(votes // 4):
        liked = [True, False, True, False]
        sets[f"a fox number {number}"] = [
            (_png((200, 90, 60) if red else (60, 90, 200), random, side_px), red) for red in liked
        ]

    write_voted(root, sets)


def _png(colour: tuple[int, int, int], random: Random, side_px: int) -> bytes:
    small = Image.new("RGB", (8, 8))
    small.putdata([tuple(level + random.randrange(50) for level in colour) for _ in range(64)])
    out = io.BytesIO()
    small.resize((side_px, side_px)).save(out, "PNG")

    return out.getvalue()

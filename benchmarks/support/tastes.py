"""Scripted tastes, in opposite pairs, and what they say of two images. Computed from pixels."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

import numpy as np
from PIL import Image

Taste = Callable[[Image.Image], float]
"""How much an image is liked; only the order counts."""


def warmth(image: Image.Image) -> float:
    """How much more red than blue it has."""
    red, _, blue = np.asarray(image.convert("RGB"), dtype=np.float64).mean((0, 1))

    return float(red - blue)


def brightness(image: Image.Image) -> float:
    """Its mean level."""
    return float(np.asarray(image.convert("RGB"), dtype=np.float64).mean())


def _opposite(taste: Taste) -> Taste:
    return lambda image: -taste(image)


TASTES: Mapping[str, Taste] = {
    "warm": warmth,
    "cool": _opposite(warmth),
    "bright": brightness,
    "dark": _opposite(brightness),
}
OPPOSITES = (("warm", "cool"), ("bright", "dark"))


def votes(
    taste: Taste, images: Sequence[Image.Image], chance: Random, *, wrong: float
) -> Sequence[bool]:
    """Whether each image of a set is liked: the better half, but for the share that is wrong."""
    liked = [taste(image) for image in images]
    middle = sorted(liked)[len(liked) // 2]

    return [(one >= middle) != (chance.random() < wrong) for one in liked]


def prefers(taste: Taste, one: Image.Image, other: Image.Image) -> bool:
    """Whether the first is liked better."""
    return taste(one) > taste(other)

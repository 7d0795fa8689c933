"""Compares an image that was made again with its record: the values and the pixels. Pure."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageStat

NOT_RECORDED = "not recorded"

# Settings of the image classifier, which does not change an image.
_WITHOUT_EFFECT = ("safety", "safety_threshold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value that differs from the recorded one."""

    name: str
    recorded: str
    here: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDifference:
    """Over all pixels and colour channels, on the scale from 0 to 255."""

    largest: int
    mean: float


def differences(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[Difference]:
    """The values that differ, in the order of the record.

    The number of a device does not count: `cuda:1` equals `cuda:0`.
    """
    names = [name for name in dict.fromkeys([*recorded, *here]) if name not in _WITHOUT_EFFECT]
    pairs = [
        Difference(
            name=name,
            recorded=recorded.get(name, NOT_RECORDED),
            here=here.get(name, NOT_RECORDED),
        )
        for name in names
    ]

    return [pair for pair in pairs if _without_number(pair.recorded) != _without_number(pair.here)]


def pixel_difference(recorded: bytes, here: bytes) -> PixelDifference | None:
    """The difference between two PNG files; None if their sizes differ."""
    one, other = (Image.open(io.BytesIO(png)).convert("RGB") for png in (recorded, here))
    if one.size != other.size:
        return None

    difference = ImageChops.difference(one, other)
    mean = ImageStat.Stat(difference).mean

    return PixelDifference(
        largest=max(high for _, high in difference.getextrema()),  # type: ignore[misc]
        mean=sum(mean) / len(mean),
    )


def _without_number(text: str) -> str:
    return re.sub(r"^(cuda|mps|xpu):\d+", r"\1", text)

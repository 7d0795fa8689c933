"""What differs between an image as it was recorded and as it was made again. Pure."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageStat

NOT_SAID = "not recorded"

# They looked at the image when it was made, and changed nothing about it.
_ONLOOKERS = ("safety", "safety_threshold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One recorded thing that is another here."""

    name: str
    recorded: str
    here: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDifference:
    """Over all pixels and colours, on the scale of 0 to 255."""

    largest: int
    mean: float


def differences(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[Difference]:
    """Everything that made the one and not the other, in the order of the record.

    Which of several equal devices it was makes no difference: `cuda:1` is `cuda:0`.
    """
    names = [name for name in dict.fromkeys([*recorded, *here]) if name not in _ONLOOKERS]
    pairs = [
        Difference(name=name, recorded=recorded.get(name, NOT_SAID), here=here.get(name, NOT_SAID))
        for name in names
    ]

    return [pair for pair in pairs if _kind(pair.recorded) != _kind(pair.here)]


def pixel_difference(recorded: bytes, here: bytes) -> PixelDifference | None:
    """How far two pictures are apart; None for two sizes, which cannot be compared."""
    one, other = (Image.open(io.BytesIO(png)).convert("RGB") for png in (recorded, here))
    if one.size != other.size:
        return None

    apart = ImageChops.difference(one, other)
    mean = ImageStat.Stat(apart).mean

    return PixelDifference(
        largest=max(high for _, high in apart.getextrema()),  # type: ignore[misc]
        mean=sum(mean) / len(mean),
    )


def _kind(text: str) -> str:
    return re.sub(r"^(cuda|mps|xpu):\d+", r"\1", text)

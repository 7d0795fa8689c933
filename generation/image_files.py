"""Encodes images: as the PNG file that is posted, and as a small preview."""

import hashlib
import io
import math
from collections.abc import Sequence

from PIL import Image

from generation.request import GeneratedImage, Withheld

_LONGER_SIDE_PX = 384
_GAP_PX = 4
_DISCORDS_GREY = (49, 51, 56)


def finished_image(
    image: Image.Image, *, seed: int, withheld: Withheld | None = None
) -> GeneratedImage:
    """The image as a PNG file, with its hash."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    png = file.getvalue()

    return GeneratedImage(
        png=png, seed=seed, sha256=hashlib.sha256(png).hexdigest(), withheld=withheld
    )


def opened_image(png: bytes) -> Image.Image:
    """The image in a PNG file. Raises OSError for anything else."""
    return Image.open(io.BytesIO(png), formats=["PNG"]).convert("RGB")


def preview_jpeg(images: Sequence[Image.Image]) -> bytes:
    """The images, all of one size, in rows of two, as one JPEG file of a few kilobytes.

    Small images are enlarged, because Discord shows an image at its own size.
    """
    columns = min(2, len(images))
    rows = math.ceil(len(images) / columns)
    width, height = images[0].size
    scale = _LONGER_SIDE_PX / max(columns * width, rows * height)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    sheet = Image.new(
        "RGB",
        (columns * (size[0] + _GAP_PX) - _GAP_PX, rows * (size[1] + _GAP_PX) - _GAP_PX),
        _DISCORDS_GREY,
    )
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        at = (column * (size[0] + _GAP_PX), row * (size[1] + _GAP_PX))
        sheet.paste(image.resize(size, Image.Resampling.BICUBIC), at)

    file = io.BytesIO()
    sheet.save(file, format="JPEG", quality=80)

    return file.getvalue()

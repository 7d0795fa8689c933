"""The one small picture that a preview is sent as."""

import io
import math
from collections.abc import Sequence

from PIL import Image

_LONGER_SIDE_PX = 384
_GAP_PX = 4
_DISCORDS_GREY = (49, 51, 56)


def one_picture(pictures: Sequence[Image.Image]) -> bytes:
    """The pictures, all of one size, in rows of two, as a JPEG of a few kilobytes.

    Small ones are enlarged: Discord shows an image at its own size.
    """
    columns = min(2, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].size
    scale = _LONGER_SIDE_PX / max(columns * width, rows * height)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    sheet = Image.new(
        "RGB",
        (columns * (size[0] + _GAP_PX) - _GAP_PX, rows * (size[1] + _GAP_PX) - _GAP_PX),
        _DISCORDS_GREY,
    )
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        at = (column * (size[0] + _GAP_PX), row * (size[1] + _GAP_PX))
        sheet.paste(picture.resize(size, Image.Resampling.BICUBIC), at)

    file = io.BytesIO()
    sheet.save(file, format="JPEG", quality=80)

    return file.getvalue()

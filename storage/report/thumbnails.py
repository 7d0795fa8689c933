"""Small pictures of the images, made on all cores: Pillow works beside Python's own lock."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from PIL import Image

from storage.report.gallery import Shown

SIDE_PX = 160
_AT_ONCE = 256


def make(images: Iterable[Shown], out: Path) -> Iterator[bool]:
    """Write the thumbnail of each image that is here; whether it could be read, one by one."""
    waiting = iter(images)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while some := list(islice(waiting, _AT_ONCE)):
            yield from pool.map(lambda shown: _make_one(shown, out / shown.thumbnail), some)


def _make_one(shown: Shown, path: Path) -> bool:
    if shown.file is None:
        return False

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Image.open(shown.file) as image:
            image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
            image.convert("RGB").save(path, "JPEG", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError):  # not an image that Pillow reads
        return False

    return True

"""PNG files of a wanted size. Noise, so that nothing that compresses can cheat."""

import random
from io import BytesIO
from pathlib import Path

from PIL import Image

KILOBYTE = 1000


def noise_png(*, kilobytes: int, randomness: random.Random) -> bytes:
    """A PNG of about that size, no two alike."""
    side = max(8, round((kilobytes * KILOBYTE / 3) ** 0.5))
    image = Image.frombytes("RGB", (side, side), randomness.randbytes(3 * side * side))
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=0)

    return buffer.getvalue()


def write_noise(folder: Path, *, count: int, kilobytes: int, seed: int) -> list[Path]:
    """So many of them as files."""
    folder.mkdir(parents=True, exist_ok=True)
    randomness = random.Random(seed)
    paths = []
    for number in range(count):
        path = folder / f"{number:06}.png"
        path.write_bytes(noise_png(kilobytes=kilobytes, randomness=randomness))
        paths.append(path)

    return paths

"""The four styles in which an emoji is drawn: npm packages under the MIT and Apache licences.

A caption does not name the style, so a model that learns from all four lets the seed choose. Words
such as "flat" ask for one.
"""

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 128

Drawing = Path | str
"""A file, or an SVG image as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Where its drawings are, and what a prompt may add to ask for it. package: on npm."""

    name: str
    package: str
    words: tuple[str, ...]


STYLES = (
    Style(
        name="3d",
        package="@lobehub/fluent-emoji-3d@1.1.0",
        words=("in 3d", "3d", "as a 3d render"),
    ),
    Style(
        name="flat",
        package="@lobehub/fluent-emoji-flat@1.1.0",
        words=("flat", "in flat style", "as a flat icon"),
    ),
    Style(
        name="outline",
        package="@iconify-json/fluent-emoji-high-contrast@1.2.6",
        words=("black and white", "in black and white", "as an outline"),
    ),
    Style(
        name="noto",
        package="@iconify-json/noto@1.2.9",
        words=("cartoon", "as a cartoon", "in noto style"),
    ),
)


def fetch(package: str, folder: Path) -> Path:
    """The files of an npm package, downloaded into `folder` unless they are there.

    Raises CalledProcessError if npm fails, and FileNotFoundError if there is no npm.
    """
    unpacked = folder / re.sub(r"\W+", "-", package).strip("-")
    if not unpacked.exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["npm", "pack", "--silent", package],
            cwd=folder,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        archive = folder / done.stdout.split()[-1]
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked.with_suffix(".part"), filter="data")

        unpacked.with_suffix(".part").rename(unpacked)

    return unpacked / "package"


def drawings(package: Path) -> Mapping[str, Drawing]:
    """What a style's package has, by `key`."""
    icons = package / "icons.json"
    if not icons.exists():
        return {key(file.stem): file for file in sorted((package / "assets").iterdir())}

    collection = json.loads(icons.read_text(encoding="utf-8"))
    names = json.loads((package / "chars.json").read_text(encoding="utf-8"))
    side = collection["width"]
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}">'

    return {
        key(code): f"{start}{collection['icons'][name]['body']}</svg>"
        for code, name in names.items()
        if name in collection["icons"]
    }


def key(code: str) -> str:
    """Code points without the variation selector, which the packages set differently."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def picture(of: Drawing) -> NDArray[np.uint8]:
    """[SIDE_PX, SIDE_PX, 3], on white."""
    drawn = _opened(of).convert("RGBA")
    on_white = Image.new("RGBA", drawn.size, "white")
    on_white.alpha_composite(drawn)
    small = on_white.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)

    return np.asarray(small)


def _opened(of: Drawing) -> Image.Image:
    if isinstance(of, Path):
        if of.suffix != ".svg":
            return Image.open(of)

        of = of.read_text(encoding="utf-8")

    import resvg_py  # a picture in a file can be read without it

    drawn = resvg_py.svg_to_bytes(svg_string=of, width=2 * SIDE_PX, height=2 * SIDE_PX)

    return Image.open(io.BytesIO(bytes(drawn)))

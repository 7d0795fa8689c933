"""The pictures and their labels: two MIT-licensed npm packages."""

import json
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PICTURES = "@lobehub/fluent-emoji-3d@1.1.0"
LABELS = "emojibase-data@17.0.0"

SIDE_PX = 128
EXPRESSIONS, SYMBOLS, FLAGS = 0, 8, 9
"""Three of emojibase's groups: faces, signs and letters, flags."""

# Mirrored, these would be wrong or unreadable.
_HANDED = re.compile(
    r"left|right|index|backhand|facing|clock|thirty|quarter|crescent|waxing|waning|gibbous|button"
    r"|arrow|letter|book|paper|calendar|keyboard|chart|abacus|page|news|sign|input|map|violin"
    r"|hospital|bank|hotel|school|post office|love|bus|taxi|car$|ambulance|police|engine|100"
    r"|dollar|euro|yen|pound|card|label|ticket|computer|ok|store|court|nose|wheelchair|cane|medal"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emoji:
    """One emoji of emojibase that has a picture. `group` is emojibase's number."""

    code: str
    label: str
    tags: tuple[str, ...]
    group: int | None
    file: Path

    @property
    def can_be_mirrored(self) -> bool:
        return self.group not in (None, SYMBOLS, FLAGS) and not _HANDED.search(self.label.lower())

    @property
    def may_be_tilted_much(self) -> bool:
        return self.group not in (SYMBOLS, FLAGS)


def fetch(folder: Path) -> tuple[Path, Path]:
    """Download both packages with npm, unless they are in the folder.

    Returns the folder of the pictures and the file of the labels. Raises CalledProcessError if npm
    fails, and FileNotFoundError if there is no npm.
    """
    places = []
    for package in (PICTURES, LABELS):
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

        places.append(unpacked / "package")

    return places[0] / "assets", places[1] / "en" / "data.json"


def read(pictures: Path, labels: Path) -> list[Emoji]:
    """Every emoji in both packages, in emojibase's order, without skin-tone variants."""
    files = {_key(file.stem): file for file in sorted(pictures.glob("*.webp"))}
    known = json.loads(labels.read_text(encoding="utf-8"))

    return [
        Emoji(
            code=entry["hexcode"],
            label=entry["label"],
            tags=tuple(entry.get("tags", ())),
            group=entry.get("group"),
            file=files[_key(entry["hexcode"])],
        )
        for entry in known
        if _key(entry["hexcode"]) in files
    ]


def picture(file: Path) -> NDArray[np.uint8]:
    """[SIDE_PX, SIDE_PX, 3], on white."""
    drawn = Image.open(file).convert("RGBA")
    on_white = Image.new("RGBA", drawn.size, "white")
    on_white.alpha_composite(drawn)
    small = on_white.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)

    return np.asarray(small)


def _key(code: str) -> str:
    """Code points without the variation selector, which the two packages set differently."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")

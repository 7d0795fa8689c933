"""What is learned: emoji with their labels, each drawn in every style."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.styles import STYLES, Drawing, drawings, fetch, key

LABELS = "emojibase-data@17.0.0"

EXPRESSIONS, PEOPLE, COMPONENTS, SYMBOLS, FLAGS = 0, 1, 2, 8, 9
"""Some of emojibase's groups: faces, people, skin tones, signs and letters, flags."""

# Nobody votes on what differs by the hour, the sex or a child.
_LEFT_OUT = re.compile(
    r"o’clock|-thirty|^family|^(man|woman|men|women) (?!dancing)|: (bald|beard|.* hair)$"
    r"|^(light|medium|dark) skin"
)
_SIGNS = frozenset(
    (
        "warning", "no entry", "prohibited", "radioactive", "biohazard", "peace symbol", "yin yang",
        "star of David", "latin cross", "star and crescent", "atom symbol", "recycling symbol",
        "fleur-de-lis", "trident emblem", "check mark", "cross mark", "red question mark",
        "red exclamation mark", "musical notes", "musical note", "infinity", "play button",
        "stop button", "cinema", "wireless", "wheelchair symbol", "heavy dollar sign", "sparkle",
        "up arrow", "right arrow", "down arrow", "left arrow", "red circle", "blue circle",
        "yellow circle", "green circle", "red square", "blue square", "chequered flag",
        "crossed flags", "pirate flag", "rainbow flag", "white flag", "triangular flag",
    )
)  # fmt: skip
"""Of signs, letters and flags, the ones that people ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emoji:
    """One emoji of emojibase. group: emojibase's number. drawings: one for each style."""

    code: str
    label: str
    tags: tuple[str, ...]
    group: int | None
    drawings: tuple[Drawing, ...]


def fetched(folder: Path) -> list[Emoji]:
    """All of them, from npm; the packages are kept in `folder`. Raises what `fetch` raises."""
    labels = fetch(LABELS, folder) / "en" / "data.json"

    return read(labels, [drawings(fetch(style.package, folder)) for style in STYLES])


def read(labels: Path, styles: Sequence[Mapping[str, Drawing]]) -> list[Emoji]:
    """The emoji that all styles have and people vote on, in emojibase's order."""
    known = json.loads(labels.read_text(encoding="utf-8"))
    found = []
    for entry in known:
        code = key(entry["hexcode"])
        if all(code in style for style in styles) and _is_wanted(entry):
            emoji = Emoji(
                code=entry["hexcode"],
                label=entry["label"],
                tags=tuple(entry.get("tags", ())),
                group=entry.get("group"),
                drawings=tuple(style[code] for style in styles),
            )
            found.append(emoji)

    return found


def _is_wanted(entry: Mapping[str, object]) -> bool:
    label, group = str(entry["label"]), entry.get("group")
    if group in (None, COMPONENTS, SYMBOLS, FLAGS):
        return label in _SIGNS

    return not _LEFT_OUT.search(label)

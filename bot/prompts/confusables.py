"""Text as it looks: without case, accents, invisible characters and other alphabets' look-alikes.

Pure. What looks like what is Unicode's own list (UTS 39), as the package confusable-homoglyphs has
it; besides, a letter that Unicode names "LATIN … LETTER O WITH STROKE" is an o. Digits and signs
stay what they are: whether a 0 is meant as an o is for the reader to say.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache

# Invisible, though they count as letters or marks.
_FILLERS = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u034f")
_VARIATIONS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF), (0x180B, 0x180F))

# Accents for any alphabet. Marks of one alphabet can be its vowels, and are kept on its letters.
_ACCENTS = (
    (0x0300, 0x036F),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
)

_NAMED_LATIN = re.compile(
    r"LATIN (?:CAPITAL|SMALL) LETTER ([A-Z])(?: WITH .+)?|LATIN LETTER SMALL CAPITAL ([A-Z])"
)


def foldings(text: str) -> tuple[str, str]:
    """Two ways in which a text can be meant; folding a fold again changes nothing.

    The first takes each letter as its alphabet's and makes it small, the second goes by the looks
    of it as it stands: a Cyrillic capital Ve is a small one in the first and a b in the second.
    """
    return _folded(text, by_looks_first=False), _folded(text, by_looks_first=True)


def is_visible(char: str) -> bool:
    """Whether the character shows something by itself: no space, control, filler or mark."""
    category = unicodedata.category(char)
    # Python's Unicode may be older than an emoji, which is then unassigned.
    hidden = category[0] in "ZM" or category in ("Cc", "Cf", "Cs")

    return not hidden and not _is_invisible(char)


def is_mark(char: str) -> bool:
    """Whether the character belongs to the letter before it."""
    return unicodedata.category(char) in ("Mn", "Mc", "Me")


def _folded(text: str, *, by_looks_first: bool) -> str:
    visible = "".join(char for char in text if not _is_invisible(char))
    letters = unicodedata.normalize("NFKD", visible)
    if by_looks_first:
        letters = "".join(map(_looks_like, letters))

    letters = unicodedata.normalize("NFKD", letters.casefold())
    bare: list[str] = []
    for char in map(_looks_like, letters):
        if not _is_dropped_mark(char, after=bare[-1] if bare else ""):
            bare.append(char)

    return unicodedata.normalize("NFKD", "".join(bare))


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or char in _FILLERS or _is_within(char, _VARIATIONS)


def _is_dropped_mark(char: str, *, after: str) -> bool:
    """Accents go; so does any alphabet's mark that somebody put on a Latin letter."""
    return is_mark(char) and (after.isascii() or _is_within(char, _ACCENTS))


def _is_within(char: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= ord(char) <= last for first, last in ranges)


@cache
def _looks_like(char: str) -> str:
    """The small Latin letter that a character looks like, or the character."""
    if char.isascii() or unicodedata.category(char) == "Nd":
        return char

    if named := _NAMED_LATIN.fullmatch(unicodedata.name(char, "")):
        return (named[1] or named[2]).lower()

    return _look_alikes().get(char, char)


@cache
def _look_alikes() -> Mapping[str, str]:
    """Every character that Unicode says looks like one Latin letter."""
    # Imported when there is a list of words: its data takes a tenth of a second to read.
    from confusable_homoglyphs.confusables import confusables_data

    table: dict[str, str] = {}
    for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
        for other in confusables_data.get(letter, ()):
            char = other["c"].strip("\u200e")  # set around letters that are written leftwards
            if len(char) == 1 and not char.isascii():
                table.setdefault(char, letter.lower())

    # Capital i is on Unicode's list as a small L; where its small form is an i, so is it.
    for char, letter in table.items():
        if letter == "l" and table.get(char.casefold()) == "i":
            table[char] = "i"

    return table

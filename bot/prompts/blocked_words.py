"""The operator's list of words that no prompt may have; reading it, and finding them.

Whole words, however they are disguised: see `confusables` for case, accents and look-alikes. Beside
that, digits and signs count as the letters that they are written for, and a word may be spelled out
letter by letter.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from bot.prompts.confusables import foldings, is_mark
from bot.settings import SettingsError

# What is written for a letter. Only in words of three letters or more: 4k is not "ak".
_WRITTEN_FOR = {"a": "4@", "e": "3", "i": "1!", "l": "1", "o": "0", "s": "5$", "t": "7"}
_LONG_ENOUGH = 3

_NO_LETTER_BEFORE = r"(?<![^\W_])"
_NO_LETTER_AFTER = r"(?![^\W_])"

# Digits alone are a number and no word: 455 has no letter, a55 does.
_NOT_A_NUMBER = rf"(?![\W\d_]+{_NO_LETTER_AFTER})"

_NO_LETTERS = re.compile(r"[\W_]+")

# The same gap between any two: "a.s.s", and not "a S.S. ship".
_SPELLED_OUT = re.compile(
    rf"{_NO_LETTER_BEFORE}[^\W\d_]([\W_]{{1,3}})[^\W\d_](?:\1[^\W\d_])+{_NO_LETTER_AFTER}"
)


class BlockedWords:
    """Words and phrases that a prompt may not have."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        """Raises ValueError for one of which nothing can be seen."""
        self._words = tuple(words)
        folded = [tuple(fold.strip() for fold in foldings(word)) for word in self._words]
        for word, folds in zip(self._words, folded, strict=True):
            if not all(folds):
                raise ValueError(f"of {word!r} nothing can be seen")

        self._finders = tuple(_Finder(one_way) for one_way in zip(*folded, strict=True))

    def __len__(self) -> int:
        return len(self._words)

    @classmethod
    def read(cls, path: Path) -> Self:
        """One word or phrase a line, UTF-8; empty lines and those that begin with # do not count.

        Raises SettingsError for a file that cannot be read or used.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except OSError as exc:
            raise SettingsError(
                f"OXHERD_BLOCKED_WORDS: {path} cannot be read: {exc.strerror}."
            ) from exc
        except UnicodeDecodeError as exc:
            raise SettingsError(f"OXHERD_BLOCKED_WORDS: {path} is not UTF-8 text.") from exc

        words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        try:
            return cls(words)
        except ValueError as exc:
            raise SettingsError(f"OXHERD_BLOCKED_WORDS: {path}: {exc}.") from exc

    def first_in(self, text: str) -> str | None:
        """A word of the list that the text has, as the list has it; None if it has none."""
        if not self._words:
            return None

        for finder, folded in zip(self._finders, foldings(text), strict=True):
            number = finder.first_in(folded)
            if number is not None:
                return self._words[number]

        return None


class _Finder:
    """Finds words that are folded in texts that are folded in the same way."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        # All in one pattern and without groups: a thousand words then cost a millisecond or two.
        lettered = [word for word in words if _has_letter(word)]
        others = [word for word in words if not _has_letter(word)]
        self._all = (_any_of(lettered, before=_NO_LETTER_BEFORE + _NOT_A_NUMBER), _any_of(others))

    def first_in(self, text: str) -> int | None:
        """The number of a word that the text has."""
        number = self._whole_word_in(text)
        if number is not None:
            return number

        runs = [_letters(run) for run in _SPELLED_OUT.finditer(text)]
        if not runs:
            return None

        for number, word in enumerate(self._words):
            letters = "".join(word.split())
            if len(letters) >= _LONG_ENOUGH and any(letters in run for run in runs):
                return number

        # A phrase of which each word is spelled out: "r.e.d r.u.m".
        number = self._whole_word_in(_SPELLED_OUT.sub(_letters, text))

        return number if number is not None and " " in self._words[number] else None

    def _whole_word_in(self, text: str) -> int | None:
        for pattern in self._all:
            for match in pattern.finditer(text):
                if not _goes_on(match):
                    return self._number_of(match)

        return None

    def _number_of(self, match: re.Match[str]) -> int:
        first = match[0][0]

        return next(
            number
            for number, word in enumerate(self._words)
            if first in word[:1] + _WRITTEN_FOR.get(word[0], "")
            and re.compile(_pattern(word)).match(match.string, match.start())
        )


def _letters(run: re.Match[str]) -> str:
    return _NO_LETTERS.sub("", run[0])


def _goes_on(match: re.Match[str]) -> bool:
    """Whether a mark shows that the word is longer: to Python's patterns it is no letter."""
    before, after = match.start() - 1, match.end()
    text = match.string

    return any(is_mark(char) for char in text[max(0, before) : match.start()] + text[after:][:1])


def _has_letter(word: str) -> bool:
    return any(char.isalpha() for char in word)


def _any_of(words: Sequence[str], *, before: str = "") -> re.Pattern[str]:
    """Finds any of the words; of no words, nothing."""
    return re.compile(f"{before}(?:{'|'.join(map(_pattern, words)) or '(?!)'})")


def _pattern(word: str) -> str:
    """Finds a word that is folded; its parts may be apart by anything that is no letter."""
    leet = sum(char.isalpha() for char in word) >= _LONG_ENOUGH
    parts = [
        "".join(_written(char) if leet else re.escape(char) for char in part)
        for part in word.split()
    ]
    before = _NO_LETTER_BEFORE if word[0].isdigit() else ""
    after = _NO_LETTER_AFTER if word[-1].isalnum() else ""

    return before + r"[\W_]+".join(parts) + after


def _written(char: str) -> str:
    return f"[{re.escape(char + _WRITTEN_FOR.get(char, ''))}]"

"""Reads the text that members have to agree to."""

from pathlib import Path

from bot.errors import UnusableText

# Discord takes 2,000 in a message, and there are two lines of ours.
MOST_CHARS = 1_500


def read(path: Path) -> str:
    """The file's text. Raises UnusableText."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise UnusableText(f"{path} cannot be read as UTF-8 text: {exc}.") from exc

    if not 0 < len(text) <= MOST_CHARS:
        raise UnusableText(
            f"{path} has {len(text)} characters; a text has from 1 to {MOST_CHARS}. To ask nobody "
            "any more, leave the file out."
        )

    return text

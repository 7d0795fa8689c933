"""Where things are in the dataset and how they are written there. Pure.

A row stays in the shard that it was given first, so a commit rewrites only the shards whose rows
changed, and no file or folder grows without limit.
"""

import unicodedata
from collections.abc import Iterable, Sequence

# Oxen reads the list of every folder that a commit changes a file in, and the list of all folders.
# Measured at a million votes, in ms of processor time a commit of 1 / 3 / 30 shards: with all 7,812
# files of `train` in one folder 560 / 870 / 4,500, with 64 a folder 240 / 340 / 1,500.
_FILES_A_FOLDER = 64
_FOLDERS_A_FOLDER = 16

CARD = "README.md"
SNAPSHOT = "train.csv"

# What a spreadsheet may run as a formula, and the guard itself so that it can be removed again.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")

# Letters and symbols that show nothing.
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")

# What pandas reads as a missing value or a boolean by default.
_WORDS_THAT_ARE_NOT_TEXT = frozenset(
    {"#n/a", "#n/a n/a", "#na", "1.#ind", "1.#qnan", "<na>", "n/a", "na", "null", "none"}
    | {"true", "false"}
)


def image_path(image_id: str, *, shard: int) -> str:
    """Where the bytes of a voted image are.

    In folders of folders: Oxen's commits slow down with the number of entries beside a path.
    """
    return f"images/{shard // _FOLDERS_A_FOLDER:03d}/{shard:05d}/{image_id}.png"


def train_path(shard: int) -> str:
    """Where the rows of one shard of `train` are."""
    return f"train/{_folder(shard)}/{shard:05d}.csv"


def arena_path(shard: int) -> str:
    """Where the rows of one shard of `arena` are."""
    return f"arena/{_folder(shard)}/{shard:05d}.csv"


def shown_path(shard: int) -> str:
    """Where the rows of one shard of `generations` are."""
    return f"generations/{_folder(shard)}/{shard:05d}.csv"


def _folder(shard: int) -> str:
    return f"{shard // _FILES_A_FOLDER:03d}"


def guarded(text: str) -> str:
    """`text` so that a spreadsheet shows it and a CSV reader reads it as text.

    One `'` is put before a formula, also if its sign is full-width or behind invisible characters,
    before anything that reads as a number, a boolean or a missing value, before an empty text, and
    before a `'`. `unguarded` removes it.
    """
    return f"'{text}" if _may_be_a_formula(text) or _reads_as_no_text(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` was given."""
    return cell.removeprefix("'")


def csv_file(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """RFC 4180 with a header and `\\n` after every line.

    Not by the csv module: on Python 3.11 it does not quote a lone carriage return, which pandas
    reads as the end of the row.
    """
    lines = [",".join(columns), *(",".join(map(_quoted, row)) for row in rows), ""]

    return "\n".join(lines).encode()


def concatenated(files: Iterable[bytes]) -> bytes:
    """Files made by `csv_file` with the same columns, as one file with one header."""
    header = b""
    bodies = []
    for content in files:
        header, _, body = content.partition(b"\n")
        bodies.append(body)

    return header + b"\n" + b"".join(bodies) if bodies else b""


def _quoted(cell: str) -> str:
    if any(mark in cell for mark in ',"\r\n'):
        escaped = cell.replace('"', '""')
        return f'"{escaped}"'

    return cell


def _may_be_a_formula(text: str) -> bool:
    first = next((char for char in text if _is_visible(char)), "")

    return text.startswith(_FORMULA_STARTS) or (
        unicodedata.normalize("NFKC", first).startswith(_FORMULA_STARTS)
    )


def _is_visible(char: str) -> bool:
    return unicodedata.category(char)[0] not in "CMZ" and char not in _FILLERS


def _reads_as_no_text(text: str) -> bool:
    if not text or text.lower() in _WORDS_THAT_ARE_NOT_TEXT:
        return True

    try:
        float(text)
    except ValueError:
        return False

    return True

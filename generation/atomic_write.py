"""Writes a file completely or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to; it replaces `file` on leaving without an error.

    Readers see the old content or the new, never a part, and several processes may write at once.
    Raises OSError.
    """
    unfinished = file.with_suffix(f".{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)

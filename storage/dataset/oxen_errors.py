"""Translates what Oxen raises, bare ValueErrors and Rust panics, into RepositoryErrors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import (
    RepositoryError,
    RepositoryInUse,
)

# What Oxen says, in lower case.
_LOCKED = "while lock file"
_DISK_FULL = ("no space left on device", "disk quota exceeded", "mdb_map_full")


@contextmanager
def vendor_errors(path: Path, *, doing: str) -> Iterator[None]:
    """Translate every error that comes out of Oxen while it works on the repository at `path`."""
    try:
        yield
    except RepositoryError:
        raise
    except Exception as exc:
        raise translated(exc, path=path, doing=doing) from exc
    except BaseException as exc:
        if not is_panic(exc):
            raise

        raise RepositoryError.rejected(doing, reason=f"Oxen stopped: {exc}") from exc


def translated(exc: Exception, *, path: Path, doing: str) -> RepositoryError:
    """Our error for what Oxen, or the file system under it, said."""
    text = one_line(exc)
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return RepositoryError.full(path)

    if _LOCKED in text.lower():
        return RepositoryInUse.at(path)

    if says_disk_full(text):
        return RepositoryError.full(path)

    return RepositoryError.unavailable(doing, reason=text[:500])


def says_disk_full(text: str) -> bool:
    """Whether Oxen reports a full disk, here or on the server."""
    return any(mark in text.lower() for mark in _DISK_FULL)


def is_panic(exc: BaseException) -> bool:
    """Whether Rust code panicked: the exception's class is not importable."""
    return type(exc).__name__ == "PanicException"


def one_line(exc: BaseException) -> str:
    """The error's message without line breaks; its class's name when it has none."""
    return " ".join(str(exc).split()) or type(exc).__name__

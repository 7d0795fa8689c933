"""From what Oxen says to our errors: it raises bare ValueErrors, and panics past Exception."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import (
    RepositoryError,
    RepositoryFull,
    RepositoryInUse,
    RepositoryRejected,
    RepositoryUnavailable,
)

_WHAT_OXEN_SAYS: dict[str, type[RepositoryInUse] | type[RepositoryFull]] = {
    "while lock file": RepositoryInUse,
    "no space left on device": RepositoryFull,
    "disk quota exceeded": RepositoryFull,
    "mdb_map_full": RepositoryFull,
}


@contextmanager
def vendor_errors(path: Path, *, doing: str) -> Iterator[None]:
    """Translate everything that comes out of Oxen, which raises bare ValueErrors and panics."""
    try:
        yield
    except RepositoryError:
        raise
    except Exception as exc:
        raise translated(exc, path=path, doing=doing) from exc
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":
            raise

        raise RepositoryRejected.while_(doing, reason=f"Oxen stopped: {exc}") from exc


def translated(exc: Exception, *, path: Path, doing: str) -> RepositoryError:
    """Our error for what Oxen, or the file system under it, said."""
    text = " ".join(str(exc).split()) or type(exc).__name__
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return RepositoryFull.at(path)

    for mark, error in _WHAT_OXEN_SAYS.items():
        if mark in text.lower():
            return error.at(path)

    return RepositoryUnavailable.while_(doing, reason=text[:500])

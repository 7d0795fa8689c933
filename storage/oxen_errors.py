"""From what Oxen says to our errors: it raises bare ValueErrors, and panics past Exception."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import (
    RemoteAbsent,
    RemoteDenied,
    RemoteError,
    RemoteFull,
    RemoteMoved,
    RemoteRefused,
    RemoteUnavailable,
    RepositoryError,
    RepositoryFull,
    RepositoryInUse,
    RepositoryRejected,
    RepositoryUnavailable,
)
from storage.remote import RemoteSettings

_WHAT_OXEN_SAYS: dict[str, type[RepositoryInUse] | type[RepositoryFull]] = {
    "while lock file": RepositoryInUse,
    "no space left on device": RepositoryFull,
    "disk quota exceeded": RepositoryFull,
    "mdb_map_full": RepositoryFull,
}

_DISK_FULL = ("no space left on device", "disk quota exceeded", "mdb_map_full")
_LEAVE_IT_TO_A_PERSON = (400, 405, 409, 411, 413, 414, 415, 422)


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


@contextmanager
def remote_errors(settings: RemoteSettings, *, doing: str, branch: str = "") -> Iterator[None]:
    """Translate everything that comes out of Oxen while it talks to the server.

    The token is in no message, even where the server says it back.
    """
    try:
        yield
    except RemoteError:
        raise
    except Exception as exc:  # noqa: BLE001 - raised as ours; the cause may say the token
        text = _one_line(exc, secret=settings.token)
        raise _remote_error(text, settings, doing=doing, branch=branch) from None
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":
            raise

        text = _one_line(exc, secret=settings.token)
        raise RemoteRefused.while_(doing, reason=f"Oxen stopped: {text}") from None


def _remote_error(text: str, settings: RemoteSettings, *, doing: str, branch: str) -> RemoteError:
    lower = text.lower()
    # `Failed to push 401 commit(s)` is no status.
    found = re.search(r"err status \[(\d{3})|\b([45]\d\d) (?!commit)[a-z]", lower)
    status = int(found[1] or found[2]) if found else 0
    if any(mark in lower for mark in _DISK_FULL):
        return RemoteFull.at(settings.url)

    if "is behind remote commit" in lower:
        return RemoteMoved.at(settings.url, branch=branch)

    if status in (401, 403) or "authenticat" in lower or "valid api key" in lower:
        return RemoteDenied.at(settings.url)

    if "remote repository not found" in lower:
        return RemoteAbsent.at(settings.url)

    if status in _LEAVE_IT_TO_A_PERSON:
        return RemoteRefused.while_(doing, reason=text)

    return RemoteUnavailable.while_(doing, reason=text)


def _one_line(exc: BaseException, *, secret: str) -> str:
    text = " ".join(str(exc).split()) or type(exc).__name__
    if secret:
        text = text.replace(secret, "…")

    return text[:500]

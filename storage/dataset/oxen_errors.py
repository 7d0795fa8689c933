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
from storage.remote.settings import RemoteSettings

# What Oxen says, in small letters.
_LOCKED = "while lock file"
_DISK_FULL = ("no space left on device", "disk quota exceeded", "mdb_map_full")
_MOVED = "is behind remote commit"
_ABSENT = "remote repository not found"

# Statuses of HTTP that trying again does not change.
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
        if not _is_panic(exc):
            raise

        raise RepositoryRejected.while_(doing, reason=f"Oxen stopped: {exc}") from exc


def translated(exc: Exception, *, path: Path, doing: str) -> RepositoryError:
    """Our error for what Oxen, or the file system under it, said."""
    text = _one_line(exc)
    lower = text.lower()
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return RepositoryFull.at(path)

    if _LOCKED in lower:
        return RepositoryInUse.at(path)

    if _says_disk_full(lower):
        return RepositoryFull.at(path)

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
        text = _without(settings.token, _one_line(exc))[:500]
        raise _remote_error(text, settings, doing=doing, branch=branch) from None
    except BaseException as exc:
        if not _is_panic(exc):
            raise

        text = _without(settings.token, _one_line(exc))[:500]
        raise RemoteRefused.while_(doing, reason=f"Oxen stopped: {text}") from None


def _remote_error(text: str, settings: RemoteSettings, *, doing: str, branch: str) -> RemoteError:
    lower = text.lower()
    # `Failed to push 401 commit(s)` is no status.
    found = re.search(r"err status \[(\d{3})|\b([45]\d\d) (?!commit)[a-z]", lower)
    status = int(found[1] or found[2]) if found else 0
    if _says_disk_full(lower):
        return RemoteFull.at(settings.url)

    if _MOVED in lower:
        return RemoteMoved.at(settings.url, branch=branch)

    if status in (401, 403) or "authenticat" in lower or "valid api key" in lower:
        return RemoteDenied.at(settings.url)

    if _ABSENT in lower:
        return RemoteAbsent.at(settings.url)

    if status in _LEAVE_IT_TO_A_PERSON:
        return RemoteRefused.while_(doing, reason=text)

    return RemoteUnavailable.while_(doing, reason=text)


def says_absent(exc: Exception) -> bool:
    """Whether Oxen says that the server has no such repository."""
    return _ABSENT in str(exc).lower()


def _says_disk_full(lower: str) -> bool:
    return any(mark in lower for mark in _DISK_FULL)


def _is_panic(exc: BaseException) -> bool:
    return type(exc).__name__ == "PanicException"


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__


def _without(secret: str, text: str) -> str:
    return text.replace(secret, "…") if secret else text

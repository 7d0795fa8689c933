"""Translates what Oxen raises while it talks to the server into RemoteErrors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from storage.dataset.oxen_errors import is_panic, one_line, says_disk_full
from storage.errors import (
    RemoteError,
    RemoteMoved,
    RemoteUnavailable,
)
from storage.remote.settings import RemoteSettings

# What Oxen says, in lower case.
_MOVED = "is behind remote commit"
_ABSENT = "remote repository not found"

# HTTP statuses that stay the same however often the request is repeated.
_PERMANENT = (400, 405, 409, 411, 413, 414, 415, 422)


@contextmanager
def remote_errors(settings: RemoteSettings, *, doing: str, branch: str = "") -> Iterator[None]:
    """Translate every error that comes out of Oxen while it talks to the server.

    The token is in no message, even where the server repeats it.
    """
    try:
        yield
    except RemoteError:
        raise
    except Exception as exc:  # noqa: BLE001 - raised as ours; the cause may contain the token
        text = _without(settings.token, one_line(exc))[:500]
        raise _remote_error(text, settings, doing=doing, branch=branch) from None
    except BaseException as exc:
        if not is_panic(exc):
            raise

        text = _without(settings.token, one_line(exc))[:500]
        raise RemoteError.refused(doing, reason=f"Oxen stopped: {text}") from None


def says_absent(exc: Exception) -> bool:
    """Whether Oxen says that the server has no such repository."""
    return _ABSENT in str(exc).lower()


def _remote_error(text: str, settings: RemoteSettings, *, doing: str, branch: str) -> RemoteError:
    lower = text.lower()
    # The number in `Failed to push 401 commit(s)` is not a status.
    found = re.search(r"err status \[(\d{3})|\b([45]\d\d) (?!commit)[a-z]", lower)
    status = int(found[1] or found[2]) if found else 0
    if says_disk_full(text):
        return RemoteError.full(settings.url)

    if _MOVED in lower:
        return RemoteMoved.at(settings.url, branch=branch)

    if status in (401, 403) or "authenticat" in lower or "valid api key" in lower:
        return RemoteError.denied(settings.url)

    if _ABSENT in lower:
        return RemoteError.absent(settings.url)

    if status in _PERMANENT:
        return RemoteError.refused(doing, reason=text)

    return RemoteUnavailable.while_(doing, reason=text)


def _without(secret: str, text: str) -> str:
    return text.replace(secret, "…") if secret else text

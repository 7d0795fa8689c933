"""Translates what Oxen raises while it talks to the server into RemoteErrors.

Oxen raises bare ValueErrors. The HTTP status is read where Oxen itself writes it, never from the
server's words or from other numbers in the text.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from storage.dataset.oxen_errors import is_panic, one_line, says_disk_full
from storage.errors import (
    RemoteError,
    RemoteMoved,
    RemoteUnavailable,
)
from storage.remote.settings import RemoteSettings

# What Oxen 0.65 says. In a push it stands behind `Failed to push 2 commit(s): Error pushing commit
# "…": `, once for each commit; what the server says comes after it.
_STATUS = re.compile(
    r"Err status \[(?P<status>\d{3})[^\]]*\] from url \S+ \[(?P<words>.*?)\](?= Error pushing |$)"
    r"|Could not deserialize response from \[\S+\] (?P<no_json>\d{3}) "
)
_UNAUTHENTICATED = re.compile(r"(?:^|: )Authentication failed: ")  # 401
_NO_TOKEN = re.compile(r"(?:^|: )Must supply valid API key")  # 403, and no token is set
_ABSENT = re.compile(r"Remote repository not found: ")  # 404
# With 200, a server of 0.65 names the files that it could not store.
_NOT_STORED = re.compile(r"Failed to upload files: \[ ?ErrorFileInfo \{")
_MOVED = re.compile(r"Branch \S+ is behind remote commit ")
_NO_CONNECTION = re.compile(r"(?:^|: )Network error: error sending request for url ")

# HTTP statuses that stay the same however often the request is repeated.
_PERMANENT = (400, 405, 409, 411, 413, 414, 415, 422)

_HANDSHAKE_S = 5.0


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
        text = _without(settings.token, one_line(exc))
        raise _remote_error(text, settings, doing=doing, branch=branch) from None
    except BaseException as exc:
        if not is_panic(exc):
            raise

        text = _without(settings.token, one_line(exc))[:500]
        raise RemoteError.refused(doing, reason=f"Oxen stopped: {text}") from None


def says_absent(exc: Exception) -> bool:
    """Whether Oxen says that the server has no such repository."""
    return _ABSENT.match(one_line(exc)) is not None


def _remote_error(text: str, settings: RemoteSettings, *, doing: str, branch: str) -> RemoteError:
    url = settings.url
    if _MOVED.match(text):
        return RemoteMoved.at(url, branch=branch)

    if _ABSENT.match(text):
        return RemoteError.absent(url)

    status, words = _answer(text)
    match status:
        case 401:
            return RemoteError.denied(url)
        case 402:
            return RemoteError.over_limit(url, words=words)
        case 403:
            return RemoteError.forbidden(url, words=words)
        case 426:
            return RemoteError.client_too_old(url, words=words)
        case 500 | 507 if says_disk_full(words):
            return RemoteError.full(url)
        case _ if status in _PERMANENT:
            return RemoteError.refused(doing, reason=text[:500])
        case None if (found := _NOT_STORED.search(text)) and says_disk_full(text[found.end() :]):
            return RemoteError.full(url)
        case None if _NO_CONNECTION.search(text) and (problem := _certificate_problem(settings)):
            return RemoteError.bad_certificate(url, problem=problem)
        case _:
            return RemoteUnavailable.while_(doing, reason=text[:500])


def _answer(text: str) -> tuple[int | None, str]:
    """The server's status and words; None if Oxen reports no answer. The first of several
    commits' errors counts."""
    if found := _STATUS.search(text):
        return int(found["status"] or found["no_json"]), found["words"] or ""

    if _UNAUTHENTICATED.search(text):
        return 401, ""

    return (403, "no token is set") if _NO_TOKEN.search(text) else (None, "")


def _certificate_problem(settings: RemoteSettings) -> str | None:
    """What is wrong with the server's certificate; None if nothing is, or it cannot be asked.

    Oxen says only that it could not send its request.
    """
    if settings.scheme != "https":
        return None

    host, _, port = settings.host.partition(":")
    try:
        with (
            socket.create_connection((host, int(port or 443)), timeout=_HANDSHAKE_S) as line,
            ssl.create_default_context().wrap_socket(line, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as exc:
        return exc.verify_message
    except (OSError, ValueError):
        return None


def _without(secret: str, text: str) -> str:
    return text.replace(secret, "…") if secret else text

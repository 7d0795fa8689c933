"""Asks the running bot: HTTP over a Unix socket in its data folder.

Only the user who runs the bot can open the socket: it has mode 600. The bot's end of it is
`bot.cli.control_server`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, TypeAdapter, ValidationError

from bot.cli.status import Status
from bot.errors import ControlFailed, NotRunning
from storage.dataset.repository import CommitInfo
from storage.people import Forgotten

T = TypeVar("T")

SOCKET = "control.sock"
ANSWER_BYTES = 2**24
ANSWER_WITHIN_S = 90.0

_STOPPED = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)

STATUS = TypeAdapter(Status)
SNAPSHOT: TypeAdapter[str | None] = TypeAdapter(str | None)
NOTHING: TypeAdapter[None] = TypeAdapter(None)
SENTENCE = TypeAdapter(str)
FORGOTTEN = TypeAdapter(Forgotten)
VERSION = TypeAdapter(int)
LOG: TypeAdapter[Sequence[CommitInfo]] = TypeAdapter(Sequence[CommitInfo])


class Removal(BaseModel):
    """What to remove or to restore, by the id of an image or a request, and why."""

    subject: str
    reason: str


async def status(data: Path) -> Status:
    """The status of the bot on this data folder. Raises NotRunning and ControlFailed, as all do."""
    return await _ask(data, "GET", "/status", STATUS)


async def snapshot(data: Path) -> str | None:
    """Have train.csv written; the id of its commit, or None if it was up to date."""
    return await _ask(data, "POST", "/snapshot", SNAPSHOT)


async def backup(data: Path, target: Path) -> None:
    """Have the data folder copied to `target`, an absolute path, however long it takes."""
    await _ask(data, "POST", "/backup", NOTHING, body=str(target), may_take_long=True)


async def forget(data: Path, user_id: int, *, requests: bool) -> Forgotten:
    """Have a person forgotten; what was taken out."""
    kind = "everything" if requests else "votes"

    return await _ask(data, "POST", f"/forget/{user_id}/{kind}", FORGOTTEN, may_take_long=True)


async def set_consent_text(data: Path, guild_id: int, text: str) -> int:
    """Have the text set that people of the server have to agree to; its version."""
    return await _ask(data, "POST", f"/consent/{guild_id}", VERSION, body=text)


async def log(data: Path, *, limit: int) -> Sequence[CommitInfo]:
    """The dataset's last commits, newest first."""
    return await _ask(data, "GET", f"/log/{limit}", LOG)


async def remove(data: Path, removal: Removal) -> str:
    """Have an image, or all images of a request, taken out of the dataset; what was done."""
    return await _ask(data, "POST", "/remove", SENTENCE, body=removal.model_dump_json())


async def restore(data: Path, removal: Removal) -> str:
    """Have it brought back; what was done."""
    return await _ask(data, "POST", "/restore", SENTENCE, body=removal.model_dump_json())


@contextmanager
def socket_path(data: Path) -> Iterator[Path]:
    """The socket under a name short enough for an address (108 bytes on Linux). Raises OSError."""
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = Path(f"/proc/self/fd/{descriptor}")
        yield (short if short.exists() else data) / SOCKET
    finally:
        os.close(descriptor)


async def _ask(
    data: Path,
    method: str,
    path: str,
    answer: TypeAdapter[T],
    *,
    body: str | None = None,
    may_take_long: bool = False,
) -> T:
    within_s = None if may_take_long else ANSWER_WITHIN_S
    try:
        with socket_path(data) as socket:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(str(socket)),
                    timeout=aiohttp.ClientTimeout(total=within_s),
                ) as session,
                session.request(
                    method, f"http://oxherd{path}", data=body, allow_redirects=False
                ) as response,
            ):
                if response.content_length is None or response.content_length > ANSWER_BYTES:
                    raise _different_version(data)

                content = await response.read()
    except TimeoutError as exc:
        raise ControlFailed(
            f"The bot on {data} did not answer within {ANSWER_WITHIN_S:g} s; it may be stuck."
        ) from exc
    except aiohttp.ClientConnectorError as exc:
        if isinstance(exc.os_error, FileNotFoundError | ConnectionRefusedError):
            raise NotRunning(f"No bot is running on {data}.") from exc

        raise _cannot_open(data, exc.os_error) from exc
    except _STOPPED as exc:
        raise NotRunning(f"The bot on {data} stopped while it was asked.") from exc
    except aiohttp.ClientError as exc:
        raise _different_version(data) from exc
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotRunning(f"There is no folder {data}, so no bot is running on it.") from exc
    except OSError as exc:
        raise _cannot_open(data, exc) from exc

    if response.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ControlFailed(content.decode(errors="replace"))

    try:
        return answer.validate_json(content)
    except ValidationError as exc:
        raise _different_version(data) from exc


def _cannot_open(data: Path, error: OSError) -> ControlFailed:
    return ControlFailed(
        f"{data} cannot be opened: {error.strerror}. Ask as the user who runs the bot."
    )


def _different_version(data: Path) -> ControlFailed:
    return ControlFailed(f"What answers on {data / SOCKET} is not a bot of this version.")

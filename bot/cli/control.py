"""How another shell asks the running bot: one JSON line each way, over a socket in its folder.

Only the user who runs the bot can open the socket (mode 600 in a folder of theirs).
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from bot.errors import ControlFailed, NotRunning

log = logging.getLogger(__name__)

SOCKET = "control.sock"
LINE_LIMIT = 2**20
ANSWER_WITHIN_S = 90.0

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]


@asynccontextmanager
async def served(data: Path, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Answer while the context lasts. The journal's lock already keeps a second bot away."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await _answer(await reader.readline(), handlers)
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError) as exc:
            log.warning("a control request was dropped: %s", exc)
        finally:
            writer.close()

    with _short(data) as folder:
        (folder / SOCKET).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(
            answer, path=str(folder / SOCKET), limit=LINE_LIMIT
        )
        (folder / SOCKET).chmod(0o600)
        try:
            yield
        finally:
            server.close()
            (folder / SOCKET).unlink(missing_ok=True)


async def ask(data: Path, command: str, **arguments: Any) -> Any:
    """The running bot's answer. Raises NotRunning, or ControlFailed with its sentence."""
    with _short(data) as folder:
        try:
            reader, writer = await asyncio.open_unix_connection(
                str(folder / SOCKET), limit=LINE_LIMIT
            )
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise NotRunning(f"No bot is running on {data}.") from exc
        except OSError as exc:
            raise ControlFailed(_not_ours(folder=data, error=exc)) from exc

    try:
        writer.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reply = json.loads(await reader.readuntil(b"\n"))
            if "error" in reply:
                raise ControlFailed(reply["error"])

            return reply["result"]
    except TimeoutError as exc:
        raise ControlFailed(
            f"The bot on {data} did not answer within {ANSWER_WITHIN_S:g} s; it may be stuck."
        ) from exc
    except (OSError, EOFError) as exc:
        raise NotRunning(f"The bot on {data} stopped while it was asked.") from exc
    except (ValueError, TypeError, KeyError, asyncio.LimitOverrunError) as exc:
        raise ControlFailed(
            f"What answers on {data / SOCKET} is not a bot of this version."
        ) from exc
    finally:
        writer.close()


def _not_ours(*, folder: Path, error: OSError) -> str:
    return f"{folder} cannot be opened: {error.strerror}. Ask as the user who runs the bot."


async def _answer(line: bytes, handlers: Mapping[str, Handler]) -> dict[str, Any]:
    try:
        request = json.loads(line)
        handler = handlers[request["command"]]
    except (ValueError, KeyError, TypeError):
        return {"error": "The bot does not know this request; its version may be another one."}

    try:
        return {"result": await handler(request)}
    except Exception as exc:
        log.exception("control request %s failed", request["command"])
        return {"error": str(exc) or type(exc).__name__}


@contextmanager
def _short(folder: Path) -> Iterator[Path]:
    """The folder under a name short enough for a socket's address (108 bytes on Linux)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotRunning(f"There is no folder {folder}, so no bot is running on it.") from exc
    except OSError as exc:
        raise ControlFailed(_not_ours(folder=folder, error=exc)) from exc

    try:
        short = Path(f"/proc/self/fd/{descriptor}")
        yield short if short.exists() else folder
    finally:
        with suppress(OSError):
            os.close(descriptor)

"""The control socket: what a shell reads when a bot, nobody or a stranger answers."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bot.cli import control
from bot.cli.control_server import served
from bot.errors import ControlFailed, NotRunning
from tests.support.discord.world import World, world


@asynccontextmanager
async def controlled(data: Path) -> AsyncIterator[World]:
    """A bot that answers on its socket."""
    async with world(data) as w, served(w.settings, w.parts.store, w.parts.executor, w.client):
        yield w


@asynccontextmanager
async def stranger(data: Path, answer: bytes) -> AsyncIterator[None]:
    """Something else that listens on the socket: it reads a request, answers and hangs up."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(reply, data / control.SOCKET):
        yield


def http(body: bytes, *, status: str = "200 OK", length: int | None = None) -> bytes:
    """A whole answer of a web server."""
    size = len(body) if length is None else length

    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


async def test_the_bot_answers_with_its_status_its_log_and_a_snapshot(tmp_path: Path) -> None:
    async with controlled(tmp_path) as w:
        await w.imagine(w.alice, "a fox")
        await w.committed()

        status = await control.status(tmp_path)
        commits = await control.log(tmp_path, limit=1)
        snapshot = await control.snapshot(tmp_path)

        assert status.discord.servers == 1
        assert [worker.device for worker in status.workers] == ["cpu"]
        assert status.last_commit.id == commits[0].id
        assert len(commits) == 1
        assert snapshot != commits[0].id


async def test_the_running_bot_writes_a_backup(tmp_path: Path) -> None:
    async with controlled(tmp_path / "data"):
        await control.backup(tmp_path / "data", tmp_path / "copy")
        with pytest.raises(ControlFailed, match="is not empty"):
            await control.backup(tmp_path / "data", tmp_path / "copy")

    assert (tmp_path / "copy" / "journal.sqlite3").exists()


async def test_the_status_as_json_keeps_its_keys(tmp_path: Path) -> None:
    async with controlled(tmp_path):
        shown = json.loads((await control.status(tmp_path)).model_dump_json())

    assert {key: sorted(value) for key, value in shown.items() if isinstance(value, dict)} == {
        "discord": ["connected", "servers"],
        "queue": ["running", "seconds_per_request", "waiting"],
        "writer": ["alive", "pid"],
        "votes": ["missing", "oldest_waiting_s", "waiting"],
        "last_commit": ["age_s", "error", "id"],
    }
    assert sorted(set(shown) - {"discord", "queue", "writer", "votes", "last_commit"}) == [
        "disk_free_mb",
        "problems",
        "remote",
        "workers",
    ]
    assert sorted(shown["workers"][0]) == [
        "device",
        "host",
        "last_error",
        "models",
        "pid",
        "restarts",
        "serving",
        "state",
    ]


async def test_only_the_bots_user_can_open_the_socket_and_a_stop_removes_it(tmp_path: Path) -> None:
    socket = tmp_path / control.SOCKET
    async with controlled(tmp_path):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600

    assert not socket.exists()
    with pytest.raises(NotRunning, match="No bot is running on"):
        await control.status(tmp_path)


async def test_the_socket_that_a_killed_bot_left_is_replaced(tmp_path: Path) -> None:
    async with stranger(tmp_path, b""):
        os.link(tmp_path / control.SOCKET, tmp_path / "left")

    (tmp_path / "left").rename(tmp_path / control.SOCKET)
    with pytest.raises(NotRunning, match="No bot is running on"):
        await control.status(tmp_path)

    async with controlled(tmp_path):
        assert (await control.status(tmp_path)).discord.servers == 1


async def test_without_a_folder_no_bot_is_running_on_it(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="There is no folder"):
        await control.status(tmp_path / "nothing")


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\n",
        http(b"[]"),
        http(b"garbage"),
        http(b"", status="404 Not Found"),
        http(b"[" * 100_000),
        http(b'{"discord":' * 100_000),
        http(b"", length=control.ANSWER_BYTES + 1),
        b"HTTP/1.1 200 OK\r\n\r\n[]",
    ],
    ids=[
        "no HTTP",
        "no status",
        "no JSON",
        "unknown request",
        "nested",
        "nested too",
        "too long",
        "without a length",
    ],
)
async def test_a_stranger_who_answers_for_the_bot_is_a_sentence(
    tmp_path: Path, answer: bytes
) -> None:
    async with stranger(tmp_path, answer):
        with pytest.raises(ControlFailed, match="is not a bot of this version"):
            await control.status(tmp_path)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nCont", http(b"{", length=10)])
async def test_an_answer_that_ends_early_means_that_the_bot_stopped(
    tmp_path: Path, answer: bytes
) -> None:
    async with stranger(tmp_path, answer):
        with pytest.raises(NotRunning, match="stopped while it was asked"):
            await control.status(tmp_path)


async def test_what_the_bot_cannot_do_is_its_own_sentence(tmp_path: Path) -> None:
    async with stranger(tmp_path, http(b"The disk is full.", status="500 No")):
        with pytest.raises(ControlFailed, match=r"^The disk is full\.$"):
            await control.snapshot(tmp_path)


async def test_a_failure_in_the_bot_reaches_the_shell_as_a_sentence(tmp_path: Path) -> None:
    async with controlled(tmp_path) as w:
        await w.end()  # its store is closed

        with pytest.raises(ControlFailed, match="after shutdown"):
            await control.snapshot(tmp_path)


async def test_a_bot_that_is_stuck_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ANSWER_WITHIN_S", 0.1)
    given_up = asyncio.Event()

    async def read_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        given_up.set()

    async with await asyncio.start_unix_server(read_only, tmp_path / control.SOCKET):
        with pytest.raises(ControlFailed, match="did not answer within"):
            await control.status(tmp_path)

        await given_up.wait()


async def test_garbage_on_the_socket_does_not_disturb_the_bot(tmp_path: Path) -> None:
    async with controlled(tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / control.SOCKET)
        writer.write(b"\x00garbage\r\n\r\n")
        answer = await reader.read()
        writer.close()
        connector = aiohttp.UnixConnector(str(tmp_path / control.SOCKET))
        async with aiohttp.ClientSession(connector=connector) as session:
            unknown = await session.get("http://oxherd/teapot")

        assert answer.startswith(b"HTTP/1.0 400")
        assert unknown.status == 404
        assert (await control.status(tmp_path)).discord.servers == 1

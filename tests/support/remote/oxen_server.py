"""A real oxen-server on the loopback, and questions to it that no cache of ours answers.

`make oxen-server` builds it; without it the tests that need it are skipped, and say so. A different
version is used if its folder is on the PATH.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Self

import aiohttp
import pytest

from storage.remote.server_version import checks_no_token

ROOT = Path(__file__).parents[3]
STARTS_WITHIN_S = 30.0


def program() -> str | None:
    """The server's program: on the PATH, or as `make oxen-server` builds it."""
    built = ROOT / ".oxen-server" / "bin" / "oxen-server"

    return shutil.which("oxen-server") or (str(built) if built.exists() else None)


@cache
def version() -> str:
    """Of the server's program."""
    name = program()
    assert name is not None
    said = subprocess.run([name, "--version"], check=True, capture_output=True, text=True)

    return said.stdout.split()[-1]


needed = pytest.mark.skipif(
    program() is None,
    reason="NOT TESTED AGAINST A REAL SERVER: `make oxen-server` builds the one that is missing",
)
tokens_needed = pytest.mark.skipif(
    program() is not None and checks_no_token(version()),
    reason="this version of oxen-server checks no token",
)


class OxenServer:
    """One server with its folder; it can be killed, stopped and started again."""

    def __init__(self, folder: Path, port: int, *, tokens: bool) -> None:
        self.folder = folder
        self.port = port
        self._arguments = ["-a"] if tokens else []
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, *, tokens: bool = False) -> AsyncIterator[Self]:
        """On a free port until the block ends. With `tokens` it serves nobody without one."""
        server = cls(folder, _free_port(), tokens=tokens)
        await server.start()
        try:
            yield server
        finally:
            await server.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it on its folder and wait until it answers."""
        name = program()
        assert name is not None, "oxen-server is not built; `make oxen-server` does it"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder.parent / "oxen-server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(name, "start", "-i", "127.0.0.1", "-p", str(self.port), *self._arguments),
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        async with asyncio.timeout(STARTS_WITHIN_S), aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{self.url}/api/health") as answer:
                        await answer.read()
                        return

                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def delete(self, repository: str) -> None:
        """Delete a repository, as its owner would."""
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"{self.url}/api/repos/{repository}") as answer,
        ):
            assert answer.ok, await answer.text()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def token(self, name: str) -> str:
        """A new user's access token."""
        known = program()
        assert known is not None
        process = await asyncio.create_subprocess_exec(
            *(known, "add-user", "--email", f"{name}@localhost", "--name", name),
            *("--output", str(self.folder.parent / f"{name}.toml")),
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        match = re.search(r"[\w-]+\.[\w-]+\.[\w-]+", output.decode())
        assert match is not None, output.decode()

        return match[0]

    def _environment(self) -> dict[str, str]:
        return {"SYNC_DIR": str(self.folder), "PATH": os.environ["PATH"], "RUST_LOG": "warn"}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]

        return port

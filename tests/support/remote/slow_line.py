"""A slow line to a real server: bytes pass at a limited rate and are counted."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Self
from urllib.parse import urlsplit

_SMALL_BUFFER = 64 * 1024  # else the kernel would take a whole backlog at once
_PIECE = 16 * 1024


class SlowLine:
    """All connections share the way to the server; the way back is not slow.

    `sent` counts the bytes that went to the server. Nothing goes there while `moving` is not set.
    """

    def __init__(self, target: str, *, bytes_per_s: float) -> None:
        self.url = ""
        self.sent = 0
        self.moving = asyncio.Event()
        self.moving.set()
        self._server = urlsplit(target)
        self._bytes_per_s = bytes_per_s
        self._line = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def before(cls, target: str, *, bytes_per_s: float) -> AsyncIterator[Self]:
        """On a free port of the loopback until the block ends."""
        line = cls(target, bytes_per_s=bytes_per_s)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        listener.bind(("127.0.0.1", 0))
        line.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = await asyncio.start_server(line._connected, sock=listener, limit=_PIECE)
        async with server:
            yield line

    async def _connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        with closing(to_client):
            try:
                server, to_server = await asyncio.open_connection(
                    self._server.hostname, self._server.port
                )
            except OSError:
                return

            with closing(to_server):
                there = asyncio.create_task(self._carry(client, to_server))
                back = asyncio.create_task(_copy(server, to_client))
                done, left = await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
                for task in left:
                    task.cancel()

                await asyncio.gather(*done, *left, return_exceptions=True)

    async def _carry(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while piece := await client.read(_PIECE):
            await self.moving.wait()
            async with self._line:
                await asyncio.sleep(len(piece) / self._bytes_per_s)

            self.sent += len(piece)
            to_server.write(piece)
            await to_server.drain()


async def _copy(server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
    while piece := await server.read(_PIECE):
        to_client.write(piece)
        await to_client.drain()

"""A server at the end of a slow line. It takes every push, and keeps nothing but the figures.

It understands of Oxen what a push needs: which commits it has, and that everything else is fine.
"""

import asyncio
import io
import re
import socket
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web

_SMALL_BUFFER = 64 * 1024  # else the kernel would take a whole backlog at once
_FINE = {"status": "success", "status_message": "resource_created", "oxen_version": "0.53.0"}
_REPOSITORY = {
    "namespace": "ox",
    "name": "votes",
    "min_version": "0.36.0",
    "is_empty": True,
    "storage_kind": "local",
    "merkle_node_backend": "lmdb",
    "size": 0,
    "data_types": [],
    "branch_count": 0,
}


class SlowServer:
    """`received` counts the bytes of all bodies, whether their request ended or not. Nothing moves
    on the line while `moving` is not set."""

    def __init__(self, bytes_per_s: float) -> None:
        self.url = ""
        self.received = 0
        self.commits: set[str] = set()
        self.head: str | None = None
        self._bytes_per_s = bytes_per_s
        self._line = asyncio.Lock()
        self.moving = asyncio.Event()
        self.moving.set()

    @classmethod
    @asynccontextmanager
    async def open(cls, *, bytes_per_s: float) -> AsyncIterator[Self]:
        """On a free port of the loopback until the block ends. All connections share the line."""
        server = cls(bytes_per_s)
        application = web.Application(client_max_size=2**30)
        application.router.add_get("/api/repos/ox/votes/branches", server._branches)
        application.router.add_get("/api/repos/ox/votes/branches/main", server._branch)
        application.router.add_post("/api/repos/ox/votes/branches", server._make_branch)
        application.router.add_post("/api/repos/ox/votes/commits/missing", server._missing)
        application.router.add_post("/api/repos/ox/votes/commits/upload", server._commit)
        application.router.add_get("/api/repos/ox/votes", server._repository)
        application.router.add_route("*", "/{path:.*}", server._fine)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        listener.bind(("127.0.0.1", 0))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield server
        finally:
            await runner.cleanup()

    async def _body(self, request: web.Request) -> bytes:
        whole = bytearray()
        async for piece in request.content.iter_chunked(16 * 1024):
            self.received += len(piece)
            whole += piece
            await self.moving.wait()
            async with self._line:
                await asyncio.sleep(len(piece) / self._bytes_per_s)

        return bytes(whole)

    async def _repository(self, _: web.Request) -> web.Response:
        return web.json_response({**_FINE, "repository": _REPOSITORY})

    async def _branches(self, _: web.Request) -> web.Response:
        return web.json_response({**_FINE, "branches": []})

    async def _branch(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "error", "status_message": "no"}, status=404)

    async def _make_branch(self, request: web.Request) -> web.Response:
        made = await request.json()
        self.head = made["commit_id"]
        branch = {"name": "main", "commit_id": self.head}

        return web.json_response({**_FINE, "branch": branch})

    async def _missing(self, request: web.Request) -> web.Response:
        asked = await request.json()
        left = [commit for commit in asked["hashes"] if commit not in self.commits]

        return web.json_response({**_FINE, "hashes": left})

    async def _commit(self, request: web.Request) -> web.Response:
        """The last of a commit's requests; its archive's names have the commit's id, which Oxen
        writes without leading zeros."""
        with tarfile.open(fileobj=io.BytesIO(await self._body(request))) as archive:
            self.commits.update(re.findall(r"history/([0-9a-f]+)", " ".join(archive.getnames())))

        return web.json_response(_FINE)

    async def _fine(self, request: web.Request) -> web.Response:
        await self._body(request)

        return web.json_response(_FINE)

"""A bad network between the pusher and a real server: delays, cuts, wrong answers.

Sits on the loopback and passes every request on, except that a fault says otherwise. It remembers
what was said.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from tests.support.remote.uploads import uploaded

# These describe a connection, not a message.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what the server answered. The token is not in it.

    `sent` is the request's body where that is JSON, else None; `uploaded` is the hash of the files
    in any other body.
    """

    method: str
    path: str
    sent: Any
    uploaded: str | None
    status: int
    headers: dict[str, str]
    body: bytes


# Called before a request is passed on; an answer is sent instead of the server's.
Fault = Callable[["FaultyProxy", web.Request, bytes], Awaitable[web.StreamResponse | None]]


@dataclass(slots=True, eq=False)
class FaultyProxy:
    """Between a client and the server at `target`. `exchanges` is everything that got through."""

    target: str
    url: str = ""
    delay_s: float = 0.0
    faults: list[Fault] = field(default_factory=list)  # each is for one request, in order
    every: Fault | None = None  # for all the requests after those
    requests: list[str] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None

    @classmethod
    @asynccontextmanager
    async def before(cls, target: str) -> AsyncIterator[Self]:
        """On a free port of the loopback until the block ends."""
        proxy = cls(target)
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/{path:.*}", proxy._pass_on)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            async with aiohttp.ClientSession(auto_decompress=False) as session:
                proxy._session = session
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                yield proxy
        finally:
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(f"{request.method} {request.path}")
        if self.delay_s:
            await asyncio.sleep(self.delay_s)

        fault = self.faults.pop(0) if self.faults else self.every
        if fault is not None and (instead := await fault(self, request, body)) is not None:
            return instead

        try:
            exchange = await self.ask(request, body)
        except aiohttp.ClientError:
            return web.Response(status=502)  # into a line that is cut

        self.exchanges.append(exchange)

        return web.Response(status=exchange.status, headers=exchange.headers, body=exchange.body)

    async def ask(self, request: web.Request, body: bytes) -> Exchange:
        """Pass the request on. Raises aiohttp.ClientError when the server is away."""
        assert self._session is not None
        try:
            async with self._session.request(
                request.method,
                f"{self.target}{request.rel_url}",
                headers=_end_to_end(request.headers),
                data=body,
                allow_redirects=False,
            ) as answer:
                return Exchange(
                    method=request.method,
                    path=str(request.rel_url),
                    sent=as_json(body),
                    uploaded=uploaded_by(request, body),
                    status=answer.status,
                    headers=_end_to_end(answer.headers),
                    body=await answer.read(),
                )
        except aiohttp.ClientError:
            _cut(request)
            raise


def passed() -> Fault:
    """No fault: the request goes through."""

    async def nothing(_: FaultyProxy, __: web.Request, ___: bytes) -> None:
        return None

    return nothing


def status(code: int, text: str = '{"status": "error", "status_message": "no"}') -> Fault:
    """The server does not see the request; the client reads this."""

    async def answer(_: FaultyProxy, __: web.Request, ___: bytes) -> web.StreamResponse:
        return web.Response(status=code, text=text, content_type="application/json")

    return answer


def garbage() -> Fault:
    """A success that is not what the client asked for."""

    async def answer(_: FaultyProxy, __: web.Request, ___: bytes) -> web.StreamResponse:
        return web.Response(body=b"\x00\xff<html>it works!</html>" * 20)

    return answer


def cut_the_answer() -> Fault:
    """The server did what it was asked; half of its answer arrives."""

    async def half(
        proxy: FaultyProxy, request: web.Request, body: bytes
    ) -> web.StreamResponse | None:
        exchange = await proxy.ask(request, body)
        response = web.StreamResponse(status=exchange.status, headers=exchange.headers)
        response.content_length = len(exchange.body) + 1
        await response.prepare(request)
        await response.write(exchange.body[: len(exchange.body) // 2])
        _cut(request)

        return response

    return half


def cut_the_request() -> Fault:
    """The server gets the head and half of the body, and then the line is dead."""

    async def half(
        proxy: FaultyProxy, request: web.Request, body: bytes
    ) -> web.StreamResponse | None:
        server = urlsplit(proxy.target)
        _, writer = await asyncio.open_connection(server.hostname, server.port)
        head = [f"{request.method} {request.rel_url} HTTP/1.1", f"host: {server.netloc}"]
        head += [f"{name}: {value}" for name, value in _end_to_end(request.headers).items()]
        head.append(f"content-length: {len(body)}")
        writer.write("\r\n".join([*head, "", ""]).encode() + body[: len(body) // 2])
        await writer.drain()
        writer.transport.abort()
        _cut(request)

        return web.Response(status=502)

    return half


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _end_to_end(headers: Any) -> dict[str, str]:
    return {name: text for name, text in headers.items() if name.lower() not in HOP_BY_HOP}


def uploaded_by(request: web.Request, body: bytes) -> str | None:
    """The hash of what the request uploads; None if its body is JSON or empty."""
    if as_json(body) is not None:
        return None

    return uploaded(body, content_type=request.headers.get("Content-Type", ""))


def as_json(body: bytes) -> Any:
    """What the body says, or None."""
    try:
        return json.loads(body)
    except ValueError:
        return None

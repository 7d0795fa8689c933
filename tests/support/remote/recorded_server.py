"""A real Oxen server's answers, played back on the loopback. It understands nothing of Oxen.

`record_pushes` makes what is in `recordings`: exchanges with a real server, by scenario, and the
dataset that was pushed then, as it was after its first and its second votes.
"""

import base64
import json
import re
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tests.support.remote.faulty_proxy import Exchange, as_json, uploaded_by

RECORDINGS = Path(__file__).parents[2] / "recordings"
EXCHANGES = RECORDINGS / "exchanges.json"
DATASET = RECORDINGS / "dataset.tar.gz"
HOST = "oxen.example.org"  # in the recordings, instead of the proxy's


class RecordedServer:
    """Answers each request with the recorded answer to the same method, path, JSON and upload, in
    order.

    `problems` has every request that was not recorded, which was answered with 500, and every one
    without the token, which was answered with 401.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self.url = ""
        self.problems: list[str] = []
        self._left: list[Exchange] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, *, token: str) -> AsyncIterator[Self]:
        """On a free port of the loopback until the block ends."""
        server = cls(token)
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/{path:.*}", server._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield server
        finally:
            await runner.cleanup()

    @property
    def unasked(self) -> list[str]:
        """The recorded requests that nobody has made yet."""
        return [f"{exchange.method} {exchange.path}" for exchange in self._left]

    def play(self, scenario: str, *, times: int = 1) -> None:
        """From now on it is the server of this scenario, at its beginning."""
        self._left = scenarios()[scenario] * times
        self.problems.clear()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        asked = (
            request.method,
            str(request.rel_url),
            _alike(as_json(body)),
            uploaded_by(request, body),
        )
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            self.problems.append(f"without the token: {asked}")
            return web.Response(status=401, text="unauthorized")

        for exchange in self._left:
            if (exchange.method, exchange.path, exchange.sent, exchange.uploaded) == asked:
                self._left.remove(exchange)
                return web.Response(
                    status=exchange.status, headers=exchange.headers, body=exchange.body
                )

        self.problems.append(f"not recorded: {asked}")

        return web.Response(status=500, text="not recorded")


def scenarios() -> dict[str, list[Exchange]]:
    """Everything that was recorded."""
    kept = json.loads(EXCHANGES.read_text(encoding="utf-8"))

    return {
        name: [_exchange(plain) for plain in exchanges]
        for name, exchanges in kept["scenarios"].items()
    }


def write(recorded: dict[str, list[Exchange]], *, versions: dict[str, str]) -> None:
    """Keep what was recorded."""
    plain = {name: [_plain(one) for one in exchanges] for name, exchanges in recorded.items()}
    text = json.dumps({**versions, "scenarios": plain}, indent=1, ensure_ascii=False)
    EXCHANGES.write_text(text + "\n", encoding="utf-8")


def at_example(exchange: Exchange) -> Exchange:
    """The exchange as if the server's name were HOST, without what is another each time."""
    headers = {name: text for name, text in exchange.headers.items() if name != "x-oxen-request-id"}

    return replace(exchange, sent=_alike(exchange.sent), headers=headers)


def unpack_dataset(state: str, into: Path) -> Path:
    """The dataset that was pushed: `first`, or `second` with more votes."""
    with tarfile.open(DATASET) as archive:
        archive.extractall(into, filter="data")

    return into / state


def _plain(exchange: Exchange) -> dict[str, Any]:
    """As JSON keeps it: what is text stays readable."""
    names = ("method", "path", "sent", "uploaded", "status", "headers")
    plain = {name: getattr(exchange, name) for name in names}
    try:
        plain["text"] = exchange.body.decode()
    except UnicodeDecodeError:
        plain["base64"] = base64.b64encode(exchange.body).decode()

    return plain


def _exchange(plain: dict[str, Any]) -> Exchange:
    text = plain.get("text")

    return Exchange(
        method=plain["method"],
        path=plain["path"],
        sent=plain["sent"],
        uploaded=plain["uploaded"],
        status=plain["status"],
        headers=plain["headers"],
        body=base64.b64decode(plain["base64"]) if text is None else text.encode(),
    )


def _alike(sent: Any) -> Any:
    """Equal for what means the same: Oxen sends hashes in any order, and hosts have any name."""
    if isinstance(sent, dict):
        return {name: _alike(value) for name, value in sent.items()}

    if isinstance(sent, list):
        return sorted(map(_alike, sent), key=json.dumps)

    return re.sub(r"127\.0\.0\.1:\d+", HOST, sent) if isinstance(sent, str) else sent

"""A backlog of large commits arrives over a slow line, and little of it is sent twice."""

from pathlib import Path

import pytest

from tests.support.remote.backlog import make_backlog
from tests.support.remote.bench import PATIENCE_S, failing, open_store
from tests.support.remote.slow_server import SlowServer

pytestmark = pytest.mark.stalls("starts processes")

IMAGE_BYTES = 360_000
COMMITS = 8


async def test_a_backlog_on_a_slow_line_arrives(tmp_path: Path) -> None:
    newest = await make_backlog(tmp_path, commits=COMMITS, image_bytes=IMAGE_BYTES)
    async with SlowServer.open(bytes_per_s=1e6) as server:
        server.moving.clear()
        url = f"{server.url}/ox/votes"
        async with open_store(tmp_path, url, push_timeout_s=1) as store:
            sentence = await failing(store)  # eight commits were begun, and nothing moved
            server.moving.set()
            assert await store.settle(PATIENCE_S), (await store.status()).remote

    backlog = COMMITS * IMAGE_BYTES
    assert "the pusher was silent for 1 s" in sentence
    assert server.head == newest
    assert backlog < server.received < 1.5 * backlog

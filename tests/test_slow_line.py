"""A backlog of large commits arrives over a slow line, and little of it is sent twice."""

import hashlib
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from storage.dataset.writer_process import RepositorySettings
from storage.store import VoteStore
from storage.vote import NewImage, Rating
from tests.support.remote.bench import PATIENCE_S, failing, open_store
from tests.support.remote.slow_server import SlowServer
from tests.support.storage.data import PROVENANCE, a_set, four_images

pytestmark = pytest.mark.stalls("starts processes")

IMAGE_BYTES = 360_000
IMAGES = 8


def large(image: NewImage) -> NewImage:
    png = image.png + os.urandom(IMAGE_BYTES)

    return replace(image, png=png, sha256=hashlib.sha256(png).hexdigest())


async def make_backlog(data: Path) -> str:
    """A dataset with a commit for each of the images; the newest commit."""
    async with VoteStore.open(
        data, repository=RepositorySettings(), keep_unvoted=timedelta(days=30)
    ) as store:
        for set_id in ("set-0", "set-1"):
            images = [large(image) for image in four_images(set_id)]
            await store.add_request(a_set(set_id))
            await store.add_images(set_id, images, provenance=PROVENANCE)
            await store.mark_posted(set_id, 99)
            for image in images:
                await store.vote(image.image_id, 1, Rating.GOOD)
                assert await store.settle(PATIENCE_S)

        newest = (await store.status()).last_commit_id

    assert newest is not None

    return newest


async def test_a_backlog_on_a_slow_line_arrives(tmp_path: Path) -> None:
    newest = await make_backlog(tmp_path)
    async with SlowServer.open(bytes_per_s=1e6) as server:
        server.moving.clear()
        url = f"{server.url}/ox/votes"
        async with open_store(tmp_path, url, push_timeout_s=1) as store:
            sentence = await failing(store)  # eight commits were begun, and nothing moved
            server.moving.set()
            assert await store.settle(PATIENCE_S), (await store.status()).remote

    backlog = IMAGES * IMAGE_BYTES
    assert "the pusher was silent for 1 s" in sentence
    assert server.head == newest
    assert backlog < server.received < 1.5 * backlog

"""A vote store that pushes to an Oxen server, and the server's dataset as a stranger clones it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from storage.dataset.writer_process import RepositorySettings
from storage.folder import DataFolder
from storage.remote.pusher import Remote
from storage.remote.pusher_process import start_pusher
from storage.remote.settings import RemoteSettings
from storage.store import VoteStore
from storage.vote import Rating
from tests.support.storage import kept_dataset
from tests.support.storage.data import PROVENANCE, a_set, four_images
from tests.support.storage.kept_dataset import KeptDataset

PATIENCE_S = 60.0

CLONE = """
import os, sys
import oxen, oxen.user
from oxen.oxen_py import auth
url, host, branch, path, token = sys.argv[1:]
oxen.user.config_user("reader", "reader@localhost")
if token:
    auth.config_auth(host, token, os.environ["OXEN_CONFIG_DIR"] + "/auth_config.toml")

oxen.Repo(path).clone(url, branch=branch)
"""


def remote_at(
    data: Path,
    url: str,
    *,
    branch: str = "main",
    token: str = "",
    create: bool = True,
    push_timeout_s: float = PATIENCE_S,
) -> Remote:
    """The server at `url`, for the host with this folder."""
    settings = RemoteSettings.at(url, branch=branch, token=token, create=create)
    start = partial(start_pusher, DataFolder(data), settings, timeout_s=push_timeout_s)

    return Remote(settings=settings, start=start)


@asynccontextmanager
async def open_store(
    data: Path,
    url: str,
    *,
    branch: str = "main",
    token: str = "",
    create: bool = True,
    push_timeout_s: float = PATIENCE_S,
) -> AsyncIterator[VoteStore]:
    """A store on the folder whose votes go to `url`."""
    async with VoteStore.open(
        data,
        repository=RepositorySettings(),
        keep_unvoted=timedelta(days=30),
        remote=remote_at(
            data, url, branch=branch, token=token, create=create, push_timeout_s=push_timeout_s
        ),
        flush_timeout_s=1.0,
    ) as store:
        yield store


async def show(store: VoteStore, set_id: str) -> list[str]:
    """Post a set of four images; their ids."""
    images = four_images(set_id)
    await store.add_request(a_set(set_id))
    await store.add_images(set_id, images, provenance=PROVENANCE)
    await store.mark_posted(set_id, 99)

    return [image.image_id for image in images]


async def vote(store: VoteStore, set_id: str, *, voters: int = 1) -> None:
    """Everybody likes all four images of a new set."""
    for image_id in await show(store, set_id):
        for voter_id in range(1, voters + 1):
            await store.vote(image_id, voter_id, Rating.GOOD)


async def failing(store: VoteStore) -> str:
    """Wait until a push has failed; the sentence."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            remote = (await store.status()).remote
            if remote is not None and remote.last_error is not None:
                return remote.last_error

            await asyncio.sleep(0.05)


async def cloned(url: str, into: Path, *, branch: str = "main", token: str = "") -> KeptDataset:
    """What the server has: every row, every image, one line of history. Problems are in it."""
    config = into.with_name(f"{into.name}-config")
    config.mkdir(parents=True)
    host = url.split("/")[2]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLONE, url, host, branch, str(into), token),
        env={**os.environ, "OXEN_CONFIG_DIR": str(config)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    kept = kept_dataset.read(into)
    wrong, _ = await kept_dataset.ask_oxen(into)

    return KeptDataset(ratings=kept.ratings, shown=kept.shown, problems=(*kept.problems, *wrong))

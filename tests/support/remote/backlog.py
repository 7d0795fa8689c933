"""A backlog of large commits, each with one vote and one image of noise."""

import hashlib
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from storage.dataset.writer_process import RepositorySettings
from storage.store import VoteStore
from storage.vote import NewImage, Rating
from tests.support.storage.data import PROVENANCE, a_set, four_images

_COMMITTED_WITHIN_S = 60.0


async def make_backlog(data: Path, *, commits: int, image_bytes: int) -> str:
    """So many commits in a dataset that was never pushed; the id of the newest."""
    async with VoteStore.open(
        data, repository=RepositorySettings(), keep_unvoted=timedelta(days=30)
    ) as store:
        for first in range(0, commits, 4):
            set_id = f"set-{first}"
            images = [_large(image, image_bytes) for image in four_images(set_id)]
            await store.add_request(a_set(set_id))
            await store.add_images(set_id, images, provenance=PROVENANCE)
            await store.mark_posted(set_id, 99)
            for image in images[: commits - first]:
                await store.vote(image.image_id, 1, Rating.GOOD)
                assert await store.settle(_COMMITTED_WITHIN_S)

        newest = (await store.status()).last_commit_id

    assert newest is not None

    return newest


def _large(image: NewImage, size: int) -> NewImage:
    png = image.png + os.urandom(size - len(image.png))

    return replace(image, png=png, sha256=hashlib.sha256(png).hexdigest())

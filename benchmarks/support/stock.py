"""Posted sets of images of a wanted size, put straight into a store: nothing is drawn."""

import hashlib
import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import shortuuid

from benchmarks.support.noise import noise_png
from generation.request import ImageRequest
from storage.dataset.writer_process import RepositorySettings
from storage.store import VoteStore
from storage.vote import NewImage, NewSet
from tests.support.discord.payloads import CHANNEL_ID, GUILD_ID

SLOTS = 4
PROVENANCE = {
    "backend": "none",
    "model": "noise",
    "revision": "1",
    "scheduler": "none",
    "device": "cpu",
    "dtype": "uint8",
    "noise": "1",
}
REPOSITORY = RepositorySettings()
KEEP_UNVOTED = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedSet:
    """One message's worth."""

    asked: NewSet
    images: tuple[NewImage, ...]


async def posted_sets(
    store: VoteStore, *, count: int, kilobytes: int, randomness: random.Random
) -> list[PostedSet]:
    """So many sets of four, journalled as posted in the server of the stand-in for Discord."""
    return [
        await _posted_set(store, kilobytes=kilobytes, randomness=randomness) for _ in range(count)
    ]


async def _posted_set(store: VoteStore, *, kilobytes: int, randomness: random.Random) -> PostedSet:
    set_id = shortuuid.uuid()
    seeds = tuple(randomness.randrange(2**32) for _ in range(SLOTS))
    asked = NewSet(
        set_id=set_id,
        requester_id=1,
        guild_id=GUILD_ID,
        channel_id=CHANNEL_ID,
        interaction_id=1,
        request=ImageRequest(
            prompt="a fox in the snow, oil on canvas, morning light", seeds=seeds, model="model"
        ).to_json(),
    )
    await store.add_request(asked)
    images = []
    for slot, seed in enumerate(seeds, start=1):
        png = noise_png(kilobytes=kilobytes, randomness=randomness)
        images.append(
            NewImage(
                image_id=shortuuid.uuid(),
                slot=slot,
                seed=seed,
                sha256=hashlib.sha256(png).hexdigest(),
                png=png,
            )
        )

    await store.add_images(set_id, images, provenance=PROVENANCE)
    await store.mark_posted(set_id, 1)

    return PostedSet(asked=asked, images=tuple(images))


def oxen_folder(data: Path) -> Path:
    """Where Oxen keeps versions and history."""
    return data / "dataset" / ".oxen"

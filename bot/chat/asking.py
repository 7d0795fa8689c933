"""A request as it crosses from Discord to generation and on to storage. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import discord

from generation.request import MAX_SEED, ImageRequest, Result, Size
from storage.vote import NewImage, NewSet, StoredSet, Withheld

IMAGES_PER_REQUEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What somebody asked for, as typed."""

    prompt: str
    negative_prompt: str = ""
    seed: int | None = None
    steps: int
    guidance_scale: float
    size: Size
    model: str = ""

    def request(self, *, new_seed: int) -> ImageRequest:
        """What generation is asked for; *new_seed* counts where the member named none."""
        return ImageRequest(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            seeds=_seeds(new_seed if self.seed is None else self.seed),
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            size=self.size,
            model=self.model,
        )


def again(stored: StoredSet, *, new_seed: int) -> ImageRequest:
    """The same request with other seeds."""
    asked = stored.request

    return ImageRequest(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        seeds=_seeds(new_seed),
        steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        size=Size(asked.width_px, asked.height_px),
        model=asked.model,
    )


def new_set(interaction: discord.Interaction[Any], set_id: str, request: ImageRequest) -> NewSet:
    """The request as the journal keeps it."""
    return NewSet(
        set_id=set_id,
        requester_id=interaction.user.id,
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id or 0,
        interaction_id=interaction.id,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seeds=request.seeds,
        steps=request.steps,
        guidance_scale=request.guidance_scale,
        width_px=request.size.width_px,
        height_px=request.size.height_px,
        model=request.model,
    )


def new_images(result: Result, *, new_id: Callable[[], str]) -> list[NewImage]:
    """The images as the journal keeps them, each with an id; also those that are withheld."""
    return [
        NewImage(
            image_id=new_id(),
            slot=slot,
            seed=image.seed,
            sha256=image.sha256,
            png=image.png,
            unsafe_score=image.unsafe_score,
            withheld=None if image.withheld is None else Withheld(image.withheld.value),
        )
        for slot, image in enumerate(result.images, start=1)
    ]


def provenance(result: Result) -> dict[str, str]:
    """How the images were made, as the dataset keeps it."""
    made = result.provenance

    return {
        "backend": made.backend,
        "model": made.model,
        "revision": made.revision,
        "scheduler": made.scheduler,
        "device": made.device,
        "dtype": made.dtype,
        **made.versions,
    }


def _seeds(first: int) -> tuple[int, ...]:
    """One seed an image, so that each can be made again alone."""
    return tuple((first + slot) % (MAX_SEED + 1) for slot in range(IMAGES_PER_REQUEST))

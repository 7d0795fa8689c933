"""A request as it crosses from Discord to generation and on to storage. Pure."""

from collections.abc import Callable
from typing import Any

import discord

from generation.request import ImageRequest, Result, Size
from storage.vote import NewImage, NewSet, StoredSet, Withheld


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


def requested(stored: StoredSet) -> ImageRequest:
    """The request of a set that the journal kept."""
    asked = stored.request

    return ImageRequest(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        seeds=asked.seeds,
        steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        size=Size(asked.width_px, asked.height_px),
        model=asked.model,
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

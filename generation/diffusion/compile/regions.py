"""What an engine calls that is compiled, as a run of it shows: recorded, and replaced."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import DiffusionPipeline

from generation.diffusion.compile.part import Part, part_of
from generation.diffusion.compile.variants import RecordedCall
from generation.diffusion.denoising import Denoiser
from generation.request import ImageRequest, Size

IMAGES = 4
"""How many images `/imagine` makes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine calls a module: the attribute of an object that holds the call."""

    owner: Any
    attribute: str
    module: torch.nn.Module

    @property
    def call(self) -> Callable[..., Any]:
        """What is called there now."""
        found: Callable[..., Any] = getattr(self.owner, self.attribute)

        return found

    def put(self, call: Callable[..., Any]) -> None:
        """Have this called there from now on."""
        setattr(self.owner, self.attribute, call)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What one compiled file computes, at one or more places.

    call: the arguments at one of them. graphed: whether a CUDA graph of it may pay.
    """

    part: Part
    call: RecordedCall
    places: list[Place]
    graphed: bool = False


@contextmanager
def recording(
    places: Iterable[Place], note: Callable[[Place, RecordedCall], None]
) -> Iterator[None]:
    """Tell `note` each call at the places, before it is made."""

    def record(place: Place, callee: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        note(place, RecordedCall(args, kwargs))

        return callee(*args, **kwargs)

    before = [(place, place.call) for place in places]
    for place, call in before:
        place.put(partial(record, place, call))

    try:
        yield
    finally:
        for place, call in before:
            place.put(call)


def record_own(engine: Denoiser, pipeline: DiffusionPipeline, size: Size) -> list[Region]:
    """The UNet and the decoder of our own engine, for four images of this size with guidance.

    Makes a run of one step, which also warms the device up.
    """
    request = ImageRequest(prompt="", seeds=(0,) * IMAGES, steps=2, size=size, model="warm start")
    places = {
        "unet": Place(engine, "unet", pipeline.unet),
        "decoder": Place(engine, "decode", pipeline.vae),
    }
    calls: dict[Place, RecordedCall] = {}
    with recording(places.values(), calls.__setitem__):
        run = engine.begin(request)
        run.step()
        run.finish()

    return [
        Region(
            part=part_of(name, place.module, calls[place].layout),
            call=calls[place],
            places=[place],
            # The decoder gets no graph: that would keep its memory, for one call a request.
            graphed=name == "unet",
        )
        for name, place in places.items()
    ]

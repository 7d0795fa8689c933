"""The repeated blocks of a pipeline's model, which are compiled once for each kind of block.

diffusers names the classes of such blocks. Compiled code gets the block that it computes as an
argument, so blocks that differ in nothing but their weights share it. (The first block may be of a
kind of its own, because it gets tensors of another layout than those after it.)
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from diffusers import DiffusionPipeline, ModelMixin

from generation.diffusion.compile.part import part_of
from generation.diffusion.compile.regions import IMAGES, Place, Region, recording
from generation.diffusion.compile.variants import RecordedCall, Unusable
from generation.diffusion.engine import Stage, denoiser_of
from generation.diffusion.pipeline_engine import PipelineEngine
from generation.families import Traits
from generation.request import ImageRequest, Size

_PROMPTS = ("a fox", "a fox that sits in the snow and throws a long shadow")
"""Two, because with some models the length of the prompt changes shapes."""


class _Enough(Exception):
    """The first step is done."""


def record_blocks(
    engine: PipelineEngine, pipeline: DiffusionPipeline, takes: Traits, size: Size
) -> list[Region]:
    """The blocks of the pipeline's model, for four images of this size with the default guidance.

    Makes two first steps, which also warms the device up. Raises Unusable for a model without such
    blocks, or whose blocks have other shapes for another prompt.
    """
    model = denoiser_of(pipeline)
    if model is None:
        raise Unusable(f"a {type(pipeline).__name__} has neither a transformer nor a UNet")

    if getattr(model, "is_cache_enabled", False):
        raise Unusable("OXHERD_STEP_CACHE skips its blocks")

    paths = {Place(block, "forward", block): path for path, block in _repeated_blocks(model)}
    layouts: dict[Place, Any] = {}
    regions: dict[str, Region] = {}

    def note(place: Place, call: RecordedCall) -> None:
        layout = call.layout
        if place in layouts:
            if layout != layouts[place]:
                raise Unusable("the shapes in its blocks depend on the prompt's length")

            return

        layouts[place] = layout
        part = part_of(type(place.module).__name__, model, layout, path=paths[place])
        kind = repr((place.module, replace(part, path="")))
        regions.setdefault(kind, Region(part=part, call=call, places=[])).places.append(place)

    for prompt in _PROMPTS:
        request = ImageRequest(
            prompt=prompt,
            seeds=(0,) * IMAGES,
            steps=takes.steps,
            size=size,
            model="warm start",
        )
        with recording(paths, note), suppress(_Enough):
            engine.make(takes.with_default_guidance(request), _stop)

    if not regions:
        raise Unusable(f"diffusers names no repeated blocks of a {type(model).__name__}")

    return list(regions.values())


def _repeated_blocks(model: ModelMixin) -> Iterator[tuple[str, torch.nn.Module]]:
    """The blocks in the model's lists, by their path: of the classes that diffusers says are worth
    compiling, or, where it says of none, may not be split."""
    classes = model._repeated_blocks or model._no_split_modules or ()
    lists = [each for each in model.modules() if isinstance(each, torch.nn.ModuleList)]
    listed = {block for each in lists for block in each}
    for path, module in model.named_modules():
        if type(module).__name__ in classes and module in listed:
            yield path, module


def _stop(_stage: Stage) -> None:
    raise _Enough

"""Models of every other family, through their own diffusers pipeline."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from generation.diffusion.engine import DecodedImage, Stage
from generation.diffusion.memory import memory_errors
from generation.errors import CannotVary
from generation.families import GUIDANCE, UNKNOWN, Guidance, Traits
from generation.request import PIPELINE, ImageRequest

_NEEDED = ("prompt", "num_inference_steps", "generator")
_STEP_ENDED, _OLDER_STEP_ENDED = "callback_on_step_end", "callback"
_SEVERAL = "num_images_per_prompt"
_GIVEN = {*_NEEDED, _STEP_ENDED, _OLDER_STEP_ENDED, _SEVERAL, "width", "height", GUIDANCE}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    done: int
    total: int
    latents: torch.Tensor

    def expected(self) -> None:
        return None  # a callback gets noisy latents, which some families pack


class PipelineEngine:
    """Calls any text-to-image pipeline that reports its steps.

    takes: what the pipeline takes; see Traits. Fields of a request that it does not take are left
        out.
    """

    def __init__(self, pipeline: DiffusionPipeline, takes: Traits) -> None:
        self.name = PIPELINE
        self._pipeline = pipeline
        self._takes = takes
        self._parameters = call_parameters(type(pipeline))
        self.makes_several = _SEVERAL in self._parameters

    def make(
        self,
        request: ImageRequest,
        after_step: Callable[[Stage], None],
        *,
        parent: Image.Image | None = None,
    ) -> list[DecodedImage]:
        """See Engine."""
        if parent is not None:
            raise CannotVary(f"a {type(self._pipeline).__name__} begins with noise alone")

        arguments = {
            **self._takes.arguments(request),
            _SEVERAL: len(request.seeds),
            **self._callback(request, after_step),
        }
        try:
            with memory_errors():
                made = self._pipeline(
                    **{name: each for name, each in arguments.items() if name in self._parameters},
                    generator=[torch.Generator("cpu").manual_seed(seed) for seed in request.seeds],
                )
        finally:
            # A run that ended early left a component on the device, and its steps in the cache.
            self._pipeline.maybe_free_model_hooks()

        flags = getattr(made, "nsfw_content_detected", None) or [False] * len(request.seeds)

        return [
            DecodedImage(image=image, flagged=bool(flagged))
            for image, flagged in zip(made.images, flags, strict=True)
        ]

    def _callback(
        self, request: ImageRequest, after_step: Callable[[Stage], None]
    ) -> dict[str, Callable[..., Any]]:
        """What the pipeline calls after each step. What is raised in it ends the call;
        `pipeline._interrupt` would skip the steps and decode all the same."""

        def ended(step: int, latents: torch.Tensor) -> None:
            # Some schedulers take a step more than they were asked for.
            total = getattr(self._pipeline, "num_timesteps", request.steps)
            after_step(_Stage(done=step + 1, total=total, latents=latents))

        def step_ended(
            _pipeline: DiffusionPipeline,
            step: int,
            _time: int | torch.Tensor,
            tensors: dict[str, torch.Tensor],
        ) -> dict[str, torch.Tensor]:
            ended(step, tensors["latents"])

            return tensors

        def older_step_ended(step: int, _time: int | torch.Tensor, latents: torch.Tensor) -> None:
            ended(step, latents)

        if _STEP_ENDED in self._parameters:
            return {_STEP_ENDED: step_ended}

        return {_OLDER_STEP_ENDED: older_step_ended}


def call_parameters(pipeline: type[Any]) -> Mapping[str, inspect.Parameter]:
    """What the pipeline's call takes by name."""
    found = inspect.signature(pipeline.__call__).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

    return {each.name: each for each in found if each.kind in named and each.name != "self"}


def call_problem(pipeline: type[Any]) -> str | None:
    """Why such a pipeline cannot serve, as a sentence; None if it can."""
    parameters = call_parameters(pipeline)
    missing = [name for name in _NEEDED if name not in parameters]
    if _STEP_ENDED not in parameters and _OLDER_STEP_ENDED not in parameters:
        missing.append(_STEP_ENDED)

    if missing:
        return (
            f"It is a {pipeline.__name__}, whose call does not take {', '.join(missing)}. These "
            "are needed to make images from text and to stop between two steps."
        )

    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and name not in _GIVEN
    ]
    if needed:
        return (
            f"It is a {pipeline.__name__}, whose call needs {', '.join(needed)} beside a prompt, "
            "so it does not make images from text alone."
        )

    return None


def traits_by_signature(pipeline: type[Any]) -> Traits:
    """What a pipeline that the table does not know takes, as far as its call's defaults tell.

    Whether guidance and a negative prompt have an effect is not known, so both are taken to have.
    """
    parameters = call_parameters(pipeline)
    steps = parameters["num_inference_steps"].default
    guidance = None
    if scale := parameters.get(GUIDANCE):
        number = scale.default if isinstance(scale.default, int | float) else None
        guidance = Guidance(default=number, off_up_to=None)

    return replace(
        UNKNOWN,
        steps=steps if isinstance(steps, int) else UNKNOWN.steps,
        guidance=guidance,
        negative_prompt="negative_prompt" in parameters,
    )

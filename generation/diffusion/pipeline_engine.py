"""Models of every other family, through their own diffusers pipeline."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from generation.diffusion.engine import DecodedImage, Stage
from generation.diffusion.memory import memory_errors
from generation.errors import CannotVary
from generation.request import PIPELINE, ImageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    done: int
    total: int
    latents: torch.Tensor

    def expected(self) -> None:
        return None  # a callback gets noisy latents, which some families pack


class PipelineEngine:
    """Calls any text-to-image pipeline that reports its steps.

    Fields of a request that the pipeline does not take are left out, except for a negative prompt:
    that raises ValueError.
    """

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self.name = PIPELINE
        self._pipeline = pipeline

    def make(
        self,
        request: ImageRequest,
        after_step: Callable[[Stage], None],
        *,
        parent: Image.Image | None = None,
    ) -> list[DecodedImage]:
        """See Engine. Raises ValueError too, for a negative prompt that the pipeline cannot use."""
        if parent is not None:
            raise CannotVary(f"a {type(self._pipeline).__name__} begins with noise alone")

        def step_ended(
            pipeline: DiffusionPipeline,
            step: int,
            _time: int | torch.Tensor,
            tensors: dict[str, torch.Tensor],
        ) -> dict[str, torch.Tensor]:
            # Some schedulers take a step more than they were asked for. What is raised here ends
            # the call; pipeline._interrupt would skip the steps and decode all the same.
            total = getattr(pipeline, "num_timesteps", request.steps)
            after_step(_Stage(done=step + 1, total=total, latents=tensors["latents"]))

            return tensors

        with memory_errors():
            made = self._pipeline(
                **self._arguments(request),
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in request.seeds],
                callback_on_step_end=step_ended,
            )

        flags = getattr(made, "nsfw_content_detected", None) or [False] * len(request.seeds)

        return [
            DecodedImage(image=image, flagged=bool(flagged))
            for image, flagged in zip(made.images, flags, strict=True)
        ]

    def _arguments(self, request: ImageRequest) -> dict[str, Any]:
        arguments = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt or None,
            "num_images_per_prompt": len(request.seeds),
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance_scale,
            "width": request.size.width_px,
            "height": request.size.height_px,
        }
        known = inspect.signature(self._pipeline.__call__).parameters
        if request.negative_prompt and "negative_prompt" not in known:
            raise ValueError(f"a {type(self._pipeline).__name__} takes no negative prompt")

        return {name: value for name, value in arguments.items() if name in known}

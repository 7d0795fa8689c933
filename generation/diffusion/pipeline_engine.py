"""Models of any other family, through the diffusers pipeline that they come with."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from generation.diffusion.engine import PIPELINE, Picture, Stage
from generation.diffusion.memory import memory_errors
from generation.request import ImageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    done: int
    total: int
    latents: Any

    def expected(self) -> Any:
        return None  # what a callback is shown is still noisy, and packed in some families


class PipelineEngine:
    """Calls the pipeline, which reports its steps; any text-to-image pipeline that does.

    A setting that the pipeline does not have is left out, except that a negative prompt for such a
    pipeline raises ValueError.
    """

    def __init__(self, pipeline: Any) -> None:
        self.name = PIPELINE
        self._pipeline = pipeline

    def make(self, request: ImageRequest, after_step: Callable[[Stage], None]) -> list[Picture]:
        """One picture per seed, all in one batch.

        Raises OutOfMemory, and what `after_step` raises, which ends it.
        """

        def step_ended(pipeline: Any, step: int, _time: Any, tensors: dict[str, Any]) -> Any:
            # Some schedulers take a step more than they were asked for. What is raised here ends
            # the call; pipeline._interrupt would skip the steps and decode all the same.
            total = getattr(pipeline, "num_timesteps", request.steps)
            after_step(_Stage(done=step + 1, total=total, latents=tensors.get("latents")))

            return tensors

        with memory_errors():
            made = self._pipeline(
                **self._arguments(request),
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in request.seeds],
                callback_on_step_end=step_ended,
            )

        flags = getattr(made, "nsfw_content_detected", None) or [False] * len(request.seeds)

        return [
            Picture(image=image, flagged=bool(flagged))
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

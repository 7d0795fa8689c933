"""Which kernels compute a pipeline's attention. Images change by rounding, with some by more."""

from collections.abc import Iterator
from typing import Any

import torch
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.models.attention_dispatch import attention_backend, dispatch_attention_fn

from generation.diffusion.engine import Engine
from generation.errors import BackendUnavailable, OutOfMemory, root_cause
from generation.families import Traits
from generation.request import ImageRequest, Size

NATIVE = "native"
"""torch chooses; the default."""


def use_attention(
    pipeline: DiffusionPipeline, attention: str, *, device: str, dtype: torch.dtype
) -> bool:
    """Let these kernels compute the pipeline's attention; whether any of it can be told to.

    Without a call, diffusers' variable DIFFUSERS_ATTN_BACKEND would decide. Raises
    BackendUnavailable for kernels that cannot be used here.
    """
    if attention != NATIVE and (
        problem := attention_problem(attention, device=device, dtype=dtype)
    ):
        raise BackendUnavailable(problem)

    models = [each for each in pipeline.components.values() if isinstance(each, ModelMixin)]
    for model in models:
        model.set_attention_backend(attention)

    return any(_is_told(module) for model in models for module in model.modules())


def attention_of(model: torch.nn.Module) -> str | None:
    """The kernels that the model was told to use; None if it was not, or cannot be told."""
    told: Iterator[Any] = (module for module in model.modules() if _is_told(module))
    first = next(told, None)
    kernels = None if first is None else first.processor._attention_backend

    return None if kernels is None else str(kernels.value)


def _is_told(module: Any) -> bool:
    return hasattr(getattr(module, "processor", None), "_attention_backend")


def attention_problem(attention: str, *, device: str, dtype: torch.dtype) -> str | None:
    """Why these kernels cannot be used, as a sentence; None if they can. Asks no network."""
    tokens = torch.ones(1, 64, 2, 64, device=device, dtype=dtype)
    try:
        with attention_backend(attention):
            dispatch_attention_fn(tokens, tokens, tokens)
    except Exception as exc:  # noqa: BLE001 - each library has errors of its own
        return (
            f"OXHERD_ATTENTION={attention} cannot be used on {device} with "
            f"{str(dtype).removeprefix('torch.')}: {root_cause(exc)}"
        )

    return None


def try_attention(engine: Engine, takes: Traits, attention: str) -> None:
    """Make a small image, because some kernels take no masks, which some models need.

    Raises BackendUnavailable if that fails.
    """
    side = 8 * takes.multiple
    request = ImageRequest(
        prompt="a fox",
        seeds=(0,),
        steps=1,
        size=Size(side, side),
        model="attention",
    )
    try:
        engine.make(takes.with_default_guidance(request), lambda stage: None)
    except OutOfMemory:
        raise
    except Exception as exc:
        raise BackendUnavailable(
            f"The model cannot be used with OXHERD_ATTENTION={attention}: {root_cause(exc)}"
        ) from exc

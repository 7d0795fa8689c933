"""What is compiled: a model or a block of it, for one shape of its call."""

import hashlib
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from generation.diffusion.faster.attention import attention_of


@dataclass(frozen=True, slots=True)
class TensorLayout:
    """What compiled code takes for granted about a tensor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A module and one shape of its call: everything that the compiler needs.

    name: for people; `call_of` it says how the module is called.
    model_class: its model's name in diffusers. config: what diffusers builds the model from.
    path: of the module in the model; empty for the model itself.
    attention: the kernels that the model was told to use; None where it cannot be told.
    tensors: its parameters and buffers. fused: whether its attention projections are fused.
    arguments: `layout_of` the positional and the named arguments.
    """

    name: str
    model_class: str
    config: Mapping[str, Any]
    path: str
    attention: str | None
    tensors: Mapping[str, TensorLayout]
    fused: bool
    arguments: Any


def call_module(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
    """A UNet or a block, as the engine calls it."""
    return module(*args, **kwargs)


def decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The VAE's decoder, as the engine calls it."""
    pixels: torch.Tensor = vae.decode(latents, return_dict=False)[0]

    return pixels


def call_of(name: str) -> Callable[..., Any]:
    """How the module of a part of this name is called."""
    return decode if name == "decoder" else call_module


def part_of(name: str, model: Any, arguments: Any, *, path: str = "") -> Part:
    """Describe a model of diffusers on its device, or the module at a path in it.

    arguments: the layout of those that it is called with.
    """
    module = model.get_submodule(path)
    state = [*module.named_parameters(), *module.named_buffers()]

    return Part(
        name=name,
        model_class=type(model).__name__,
        config={key: value for key, value in model.config.items() if not key.startswith("_")},
        path=path,
        attention=attention_of(model),
        tensors={key: layout_of(tensor) for key, tensor in state},
        fused=any("to_qkv" in key for key, _ in state),
        arguments=arguments,
    )


def layout_of(value: Any) -> Any:
    """The value with a TensorLayout for each tensor; equal layouts fit the same code."""
    if isinstance(value, torch.Tensor):
        return TensorLayout(tuple(value.shape), value.stride(), str(value.dtype), str(value.device))

    if isinstance(value, Mapping):
        return {key: layout_of(each) for key, each in value.items()}

    return tuple(map(layout_of, value)) if isinstance(value, tuple | list) else value


def file_name(part: Part) -> str:
    """A name that changes with everything that the compiled code depends on."""
    libraries = [f"{name} {version(name)}" for name in ("torch", "diffusers")]
    facts = repr((part, libraries, _gpu(part), sys.version_info, tuning(part)))

    return f"{part.name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.compiled"


def bytes_of(part: Part) -> int:
    """The memory that a copy of the weights takes."""
    return sum(
        math.prod(layout.shape) * dtype_of(layout).itemsize for layout in part.tensors.values()
    )


def dtype_of(layout: TensorLayout) -> torch.dtype:
    """The dtype that the layout names."""
    dtype: torch.dtype = getattr(torch, layout.dtype.removeprefix("torch."))

    return dtype


def tuning(part: Part) -> dict[str, Any]:
    """Options for torch.compile: on a GPU, try several kernels for each product."""
    if _gpu(part) == "none":
        return {}

    options: dict[str, Any] = torch._inductor.list_mode_options("max-autotune-no-cudagraphs")

    return options


def _gpu(part: Part) -> str:
    """The model of the part's GPU, or "none"."""
    device = next(iter(part.tensors.values())).device
    if not device.startswith("cuda"):
        return "none"

    return f"{torch.cuda.get_device_name(device)} {torch.cuda.get_device_capability(device)}"

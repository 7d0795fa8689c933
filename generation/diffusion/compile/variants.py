"""The uncompiled and compiled variants of a call: recorded, compared, timed."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from generation.diffusion.compile import compiler
from generation.diffusion.compile.cuda_graph import GraphedCall
from generation.diffusion.compile.part import layout_of
from generation.diffusion.denoising import Denoiser
from generation.request import ImageRequest

log = logging.getLogger(__name__)

UNCOMPILED = "uncompiled"
_COMPILED = "compiled"
_GRAPHED = "compiled, in a CUDA graph"

_REPETITIONS = 5
"""How often each variant is timed."""

# How far compiled output may be from uncompiled, relative to its norm: rounding, with a margin.
_TOLERANCES = {torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}


class Unusable(Exception):
    """No compiled version can serve; the message says why."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """The arguments of one call that the engine made."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def repeat(self, callee: Callable[..., Any]) -> Any:
        """Call `callee` with these arguments."""
        return callee(*self.args, **self.kwargs)


class FixedShape:
    """Calls the compiled variant for arguments of its shape, and the uncompiled for all others."""

    def __init__(
        self, uncompiled: Callable[..., Any], compiled: Callable[..., Any], example: RecordedCall
    ) -> None:
        self.calls = 0
        """How often the compiled variant was called."""
        self._uncompiled = uncompiled
        self._compiled = compiled
        self._layout = layout_of((example.args, example.kwargs))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if layout_of((args, kwargs)) != self._layout:
            return self._uncompiled(*args, **kwargs)

        self.calls += 1

        return self._compiled(*args, **kwargs)


def record_calls(engine: Denoiser, request: ImageRequest) -> Mapping[str, RecordedCall]:
    """The calls of "unet" and "decoder" in a run of one step, which also warms the device up."""
    calls: dict[str, RecordedCall] = {}

    def recording(name: str, callee: Callable[..., Any]) -> Callable[..., Any]:
        def record(*args: Any, **kwargs: Any) -> Any:
            calls[name] = RecordedCall(args, kwargs)
            return callee(*args, **kwargs)

        return record

    unet, decode = engine.unet, engine.decode
    engine.unet, engine.decode = recording("unet", unet), recording("decoder", decode)
    try:
        run = engine.begin(request)
        run.step()
        run.finish()
    finally:
        engine.unet, engine.decode = unet, decode

    return calls


def load_variants(
    file: Path, module: torch.nn.Module, call: RecordedCall, *, graphed: bool
) -> dict[str, Callable[..., Any]]:
    """The compiled variants of a call. graphed: one in a CUDA graph too, where that is possible.

    A graph keeps its memory. Raises whatever torch raises for a file that it cannot load.
    """
    compiled = partial(compiler.load(file), module)
    if not graphed:
        return {_COMPILED: compiled}

    try:
        graph = GraphedCall(compiled, call.args, call.kwargs)
    except RuntimeError:
        log.warning("%s cannot be recorded as a CUDA graph", file.name, exc_info=True)
        return {_COMPILED: compiled}

    return {_COMPILED: compiled, _GRAPHED: graph}


def fastest(variants: Mapping[str, Callable[..., Any]], call: RecordedCall) -> tuple[str, float]:
    """The name of the fastest variant, and the seconds that its call takes."""
    seconds = {name: _seconds(variant, call) for name, variant in variants.items()}

    return min(seconds.items(), key=lambda item: item[1])


def require_alike(
    uncompiled: Callable[..., Any],
    variants: Mapping[str, Callable[..., Any]],
    call: RecordedCall,
) -> None:
    """Raises Unusable unless the compiled code computes the same, apart from rounding."""
    one, other = _first(call.repeat(uncompiled)), _first(call.repeat(variants[_COMPILED]))
    difference = float((one - other).float().norm() / one.float().norm())
    if not difference <= _TOLERANCES[one.dtype]:  # not, so that NaN raises
        raise Unusable(f"the compiled version's output differs by {difference:.2g} of its norm")


def _first(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def _seconds(callee: Callable[..., Any], call: RecordedCall) -> float:
    """The shortest of several calls, on an otherwise idle device."""
    taken = []
    for _ in range(_REPETITIONS):
        _synchronise()
        began = time.perf_counter()
        call.repeat(callee)
        _synchronise()
        taken.append(time.perf_counter() - began)

    return min(taken)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()

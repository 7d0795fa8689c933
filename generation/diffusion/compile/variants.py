"""The uncompiled and compiled variants of a call: recorded, compared, timed."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from generation.diffusion.compile import compiler
from generation.diffusion.compile.cuda_graph import GraphedCall, mapped, tensors
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

    def changed(self) -> Iterator["RecordedCall"]:
        """One call for each tensor in the arguments, which differs from the call before in it.

        So the last one differs from this call in all of them: another sample, another timestep.
        """
        for last in range(len(tensors((self.args, self.kwargs)))):
            counting = itertools.count()
            args, kwargs = mapped(
                (self.args, self.kwargs),
                lambda tensor: _changed(tensor) if next(counting) <= last else tensor,  # noqa: B023
            )
            yield RecordedCall(args, kwargs)


def _changed(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same layout and about the same size, with a different value everywhere."""
    if tensor.is_floating_point():
        values = 0.5 * tensor.roll(1, dims=-1) + 0.25 * tensor + 0.1
    else:
        values = tensor // 2 - 1

    return torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device
    ).copy_(values)


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


def fastest(
    variants: Mapping[str, Callable[..., Any]], call: RecordedCall, *, report: Callable[[], None]
) -> tuple[str, float]:
    """The name of the fastest variant, and the seconds that its call takes.

    `report` is called before each call.
    """
    seconds = {name: _seconds(variant, call, report) for name, variant in variants.items()}

    return min(seconds.items(), key=lambda item: item[1])


def usable(
    uncompiled: Callable[..., Any],
    variants: Mapping[str, Callable[..., Any]],
    call: RecordedCall,
    *,
    report: Callable[[], None],
) -> dict[str, Callable[..., Any]]:
    """The variants that compute what the uncompiled callable does, apart from rounding.

    Each is compared on the recorded arguments, and again after each of the inputs was changed,
    because a CUDA graph that was recorded wrongly returns what it returned before.
    `report` is called before each call. Raises Unusable if no variant is left.
    """
    passed: dict[str, Callable[..., Any]] = {}
    reasons = []
    for name, variant in variants.items():
        try:
            _require_alike(uncompiled, variant, call, report=report)
        except Unusable as exc:
            log.warning("the variant %r is not used: %s", name, exc)
            reasons.append(str(exc))
        else:
            passed[name] = variant

    if not passed:
        raise Unusable(f"the compiled version's {reasons[0]}")

    return passed


def _require_alike(
    uncompiled: Callable[..., Any],
    variant: Callable[..., Any],
    call: RecordedCall,
    *,
    report: Callable[[], None],
) -> None:
    """Raises Unusable where the variant's output differs, or ignores an input that matters."""
    before, before_by_variant = (_output(each, call, report) for each in (uncompiled, variant))
    _require_close(before, before_by_variant)
    for changed in call.changed():
        output, by_variant = (_output(each, changed, report) for each in (uncompiled, variant))
        _require_close(output, by_variant)
        # An input may change the output by less than the tolerance: only this finds it ignored.
        if torch.equal(before_by_variant, by_variant) and not torch.equal(before, output):
            raise Unusable("output does not depend on one of its inputs")

        before, before_by_variant = output, by_variant


def _require_close(expected: torch.Tensor, output: torch.Tensor) -> None:
    difference = float((expected - output).float().norm() / expected.float().norm())
    if not difference <= _TOLERANCES[expected.dtype]:  # not, so that NaN raises
        raise Unusable(f"output differs by {difference:.2g} of its norm")


def _output(
    callee: Callable[..., Any], call: RecordedCall, report: Callable[[], None]
) -> torch.Tensor:
    """What the call returns: the tensor, or the first of several."""
    report()
    output: torch.Tensor | tuple[torch.Tensor, ...] = call.repeat(callee)

    return output[0] if isinstance(output, tuple) else output


def _seconds(callee: Callable[..., Any], call: RecordedCall, report: Callable[[], None]) -> float:
    """The shortest of several calls, on an otherwise idle device."""
    taken = []
    for _ in range(_REPETITIONS):
        report()
        _synchronise()
        began = time.perf_counter()
        call.repeat(callee)
        _synchronise()
        taken.append(time.perf_counter() - began)

    return min(taken)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()

"""The uncompiled and compiled variants of a call: recorded, compared, timed."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from generation.diffusion.compile.cuda_graph import GraphedCall, mapped, tensors
from generation.diffusion.compile.part import layout_of

log = logging.getLogger(__name__)

UNCOMPILED = "uncompiled"
COMPILED = "compiled"
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

    @property
    def layout(self) -> Any:
        """What compiled code takes for granted about them."""
        return layout_of((self.args, self.kwargs))

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
    if tensor.dtype == torch.bool:
        values = tensor.roll(1, dims=-1)
    elif tensor.is_floating_point() or tensor.is_complex():
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
        self._layout = example.layout

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if RecordedCall(args, kwargs).layout != self._layout:
            return self._uncompiled(*args, **kwargs)

        self.calls += 1

        return self._compiled(*args, **kwargs)


def variants_of(
    code: Callable[..., Any], module: torch.nn.Module, call: RecordedCall, *, graphed: bool
) -> dict[str, Callable[..., Any]]:
    """The compiled variants of a call. graphed: one in a CUDA graph too, where that is possible.

    code: as the compiler loads it. A graph keeps its memory.
    """
    compiled = partial(code, module)
    if not graphed:
        return {COMPILED: compiled}

    try:
        graph = GraphedCall(compiled, call.args, call.kwargs)
    except RuntimeError:
        log.warning("a %s cannot be recorded as a CUDA graph", type(module).__name__, exc_info=True)
        return {COMPILED: compiled}

    return {COMPILED: compiled, _GRAPHED: graph}


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
    before, before_by_variant = (_outputs(each, call, report) for each in (uncompiled, variant))
    _require_close(before, before_by_variant)
    for changed in call.changed():
        outputs, by_variant = (_outputs(each, changed, report) for each in (uncompiled, variant))
        _require_close(outputs, by_variant)
        # An input may change the output by less than the tolerance: only this finds it ignored.
        if _equal(before_by_variant, by_variant) and not _equal(before, outputs):
            raise Unusable("output does not depend on one of its inputs")

        before, before_by_variant = outputs, by_variant


def _require_close(expected: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
    for right, output in zip(expected, outputs, strict=True):
        difference = float((right - output).float().norm() / right.float().norm())
        if not difference <= _TOLERANCES[right.dtype]:  # not, so that NaN raises
            raise Unusable(f"output differs by {difference:.2g} of its norm")


def _equal(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, some, others))


def _outputs(
    callee: Callable[..., Any], call: RecordedCall, report: Callable[[], None]
) -> list[torch.Tensor]:
    """All tensors that the call returns."""
    report()

    return tensors(call.repeat(callee))


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

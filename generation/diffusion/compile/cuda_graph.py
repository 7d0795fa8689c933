"""One call's work on the GPU, recorded once and started again as a whole."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

_WARM_UPS = 3


class GraphedCall:
    """A call of one shape as a CUDA graph: hundreds of kernels for the price of starting one.

    Made from the call and example arguments, while nothing else uses the device from this process.
    Takes arguments laid out as the examples, of which tensors may differ and nothing else, and
    returns new tensors each time: what it returned stays as it is.
    """

    def __init__(
        self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        placed_args, placed_kwargs = _replaced((args, dict(kwargs)), torch.clone)
        self._placed = _tensors((placed_args, placed_kwargs))
        self._graph = torch.cuda.CUDAGraph()
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):  # what is made at the first calls must not be recorded
                call(*placed_args, **placed_kwargs)

        torch.cuda.current_stream().wait_stream(beside)
        with torch.cuda.graph(self._graph):
            self._output = call(*placed_args, **placed_kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for place, tensor in zip(self._placed, _tensors((args, kwargs)), strict=True):
            place.copy_(tensor)

        self._graph.replay()

        return _replaced(self._output, torch.clone)


def _tensors(value: Any) -> list[Any]:
    """Every tensor in it, in an order that depends on its shape only."""
    if isinstance(value, torch.Tensor):
        return [value]

    if isinstance(value, Mapping):
        return [tensor for key in sorted(value) for tensor in _tensors(value[key])]

    if isinstance(value, tuple | list):
        return [tensor for each in value for tensor in _tensors(each)]

    return []


def _replaced(value: Any, with_: Callable[[Any], Any]) -> Any:
    """The same with another tensor in each tensor's place."""
    if isinstance(value, torch.Tensor):
        return with_(value)

    if isinstance(value, Mapping):
        return {key: _replaced(each, with_) for key, each in value.items()}

    if isinstance(value, tuple | list):
        return tuple(_replaced(each, with_) for each in value)

    return value

"""Records the GPU work of one call, and replays it as a whole."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

_WARM_UPS = 3


class GraphedCall:
    """A call of one shape as a CUDA graph, which launches hundreds of kernels at once.

    Record it while nothing else in this process uses the device. Later arguments must have the
    layout of the example arguments, and may differ only in the tensors' values. Each call returns
    new tensors, which later calls do not change.
    """

    def __init__(
        self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        placed_args, placed_kwargs = mapped((args, dict(kwargs)), torch.clone)
        self._placed = tensors((placed_args, placed_kwargs))
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):  # one-time work of the first calls must not be recorded
                call(*placed_args, **placed_kwargs)

        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(self._graph):
            self._output = call(*placed_args, **placed_kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for place, tensor in zip(self._placed, tensors((args, kwargs)), strict=True):
            place.copy_(tensor)

        self._graph.replay()

        return mapped(self._output, torch.clone)


def tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor in the value, in an order that depends only on its structure."""
    if isinstance(value, torch.Tensor):
        return [value]

    if isinstance(value, Mapping):
        return [tensor for key in sorted(value) for tensor in tensors(value[key])]

    if isinstance(value, tuple | list):
        return [tensor for each in value for tensor in tensors(each)]

    return []


def mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same structure with each tensor changed, in the order of `tensors`."""
    if isinstance(value, torch.Tensor):
        return change(value)

    if isinstance(value, Mapping):
        return {key: mapped(value[key], change) for key in sorted(value)}

    if isinstance(value, tuple | list):
        return tuple(mapped(each, change) for each in value)

    return value

"""The device of a worker: whether torch can use it, its name, and keeping in step with it."""

import platform

import torch

from generation.errors import BackendUnavailable, root_cause


def device_name(device: str) -> str:
    """The device with its hardware: `cuda:0 (NVIDIA H200)`, `cpu (x86_64)`."""
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"

    return f"{device} ({platform.machine()})" if device == "cpu" else device


def require_device(device: str) -> None:
    """Raises BackendUnavailable for a device that torch cannot use."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as exc:
        raise BackendUnavailable(
            f"torch {torch.__version__} cannot use the device {device!r}: {root_cause(exc)}"
        ) from exc


class StepPacing:
    """Keeps the host at most one step ahead of a GPU, which works through its calls later.

    Without it a step would be reported when it is queued, and a request would end many steps after
    it was cancelled. One step ahead is enough to keep the GPU busy.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._previous: torch.cuda.Event | None = None

    def wait(self) -> None:
        """Call it after each step: returns when the device has finished the previous one."""
        if not self._device.startswith("cuda"):
            return

        queued = torch.cuda.Event(blocking=True)
        queued.record(torch.cuda.current_stream(self._device))
        if self._previous is not None:
            self._previous.synchronize()

        self._previous = queued

"""The device of a worker: whether torch can use it, its name, and keeping in step with it."""

import os
import platform

import torch

from generation.errors import BackendUnavailable, root_cause

_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""Instructions for bfloat16, as torch names them."""


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
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        which = f" of CUDA_VISIBLE_DEVICES={gpus}" if gpus and device.startswith("cuda") else ""
        raise BackendUnavailable(
            f"torch {torch.__version__} cannot use the device {device!r}{which}: {root_cause(exc)}"
        ) from exc


def is_slow_on_cpu(dtype: torch.dtype) -> bool:
    """Whether this CPU has no instructions for the dtype, as far as torch can tell."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # only in newer versions of torch
    if dtype != torch.bfloat16 or capabilities is None:
        return False

    found = capabilities()

    return not any(found.get(name) for name in _BFLOAT16)


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

"""A device's memory: how much is free, running out of it, and returning it."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from generation.errors import OutOfMemory, root_cause

_NO_MEMORY = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")
"""In the messages of other errors than torch.OutOfMemoryError: torch's for the CPU, those of a
driver and of Apple's GPU, and those of NVIDIA's libraries."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raises OutOfMemory for every error that means that, after freeing cached memory."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as exc:
        reason = root_cause(exc)
    except RuntimeError as exc:
        if not any(phrase in str(exc) for phrase in _NO_MEMORY):
            raise

        reason = root_cause(exc)
    else:
        return

    # Not chained: the traceback would keep tensors alive.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

    raise OutOfMemory(reason)


def release_memory() -> None:
    """Return unreferenced memory to the device and to the operating system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

    # glibc's allocator keeps freed memory: all weights of a model that was offloaded.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def free_bytes(device: str) -> int | None:
    """Bytes that this process could still allocate on the device; None where that is unknown.

    For a device without memory of its own these are bytes of main memory.
    """
    release_memory()
    if device.startswith("cuda"):
        free: int = torch.cuda.mem_get_info(device)[0]

        return free

    return available_bytes()


def available_bytes(*, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes of main memory that this process could still allocate; None where that is unknown.

    A container's limit counts where it is lower than what the machine has free.
    """
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        machine = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None

    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return machine

    return min(machine, max(0, limit - used))

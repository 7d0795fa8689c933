"""What is free on a device, what torch says when it is used up, and giving it back."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from generation.errors import OutOfMemory, root_cause

_NO_MEMORY = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")
"""How torch says it of the CPU's memory, of a driver's or Apple's, and how NVIDIA's libraries do,
where it is no torch.OutOfMemoryError."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raises OutOfMemory for torch's own error, and gives what is free back to the device."""
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

    # Not chained: the traceback would keep the tensors that have to go.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

    raise OutOfMemory(reason)


def give_back_memory() -> None:
    """What nobody holds any more goes back to the device, and to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

    # glibc's allocator keeps what was freed: all the weights of a model that was offloaded.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def free_bytes(device: str) -> int | None:
    """What this process could still take there; None where the system does not say.

    A device without memory of its own takes from main memory.
    """
    give_back_memory()
    if device.startswith("cuda"):
        free: int = torch.cuda.mem_get_info(device)[0]

        return free

    return available_bytes()


def available_bytes(*, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Main memory that this process could still take; None where the system does not say.

    What a container may use counts, if that is less than the machine has.
    """
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        machine = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None

    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit, which says "max"
        return machine

    return min(machine, max(0, limit - used))

"""What torch says when a device's memory is used up, translated."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from generation.errors import OutOfMemory
from generation.model_folder import root_cause


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raises OutOfMemory for torch's own error, and gives what is free back to the device."""
    try:
        yield
    except torch.OutOfMemoryError as exc:
        reason = root_cause(exc)
    except RuntimeError as exc:
        if "can't allocate memory" not in str(exc):  # how torch says it of the CPU's
            raise

        reason = root_cause(exc)
    else:
        return

    # Not chained: the traceback would keep the tensors that have to go.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

    raise OutOfMemory(reason)

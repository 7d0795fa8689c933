"""Trains in two processes: each on its own part of a batch, with the mean of their gradients.

A single process makes little use of a second core on such small parts; see docs/measurements.md.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
import torch.distributed
from torch.multiprocessing.spawn import spawn

WORKERS = 2
"""The same on every machine, because the weights depend on it."""


def learn_together(learn: Callable[..., None], *arguments: object) -> None:
    """Call `learn` with these arguments in every worker, and return when all are done.

    Raises torch.multiprocessing.ProcessRaisedException if one fails; the others are then stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        spawn(_begin, (Path(folder) / "meeting", learn, arguments), nprocs=WORKERS)


def _begin(
    worker: int, meeting: Path, learn: Callable[..., None], arguments: Sequence[object]
) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=meeting.as_uri(),
        rank=worker,
        world_size=WORKERS,
    )
    try:
        learn(*arguments)
    finally:
        torch.distributed.destroy_process_group()


def this_worker() -> int:
    """Its number, from 0. A single process is worker 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def workers() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def share_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Give every worker the mean of all workers' gradients."""
    if workers() == 1:
        return

    gradients = [one.grad for one in parameters if one.grad is not None]
    together = torch.cat([one.flatten() for one in gradients])
    torch.distributed.all_reduce(together)
    together /= workers()
    for one, mean in zip(
        gradients, together.split([one.numel() for one in gradients]), strict=True
    ):
        one.copy_(mean.view_as(one))


def wait_for_all() -> None:
    """Return when every worker has called this."""
    if workers() > 1:
        torch.distributed.barrier()

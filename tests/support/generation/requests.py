"""Requests for tests of generation, and what these tests wait for."""

import asyncio
from collections.abc import Callable

from generation.queue.executor import Executor
from generation.queue.job import Job, JobProgress
from generation.queue.status import WorkerState, WorkerStatus
from generation.request import ImageRequest, Size

MODEL = "default"
"""The name of the one model that most tests offer."""


def a_request(
    prompt: str = "step",
    *,
    seeds: tuple[int, ...] = (1, 2, 3, 4),
    steps: int = 3,
    side_px: int = 512,
    model: str = MODEL,
) -> ImageRequest:
    return ImageRequest(
        prompt=prompt, seeds=seeds, steps=steps, size=Size(side_px, side_px), model=model
    )


class Onlooker:
    """A watcher that records the steps, and cancels after `cancel_after` of them.

    With `wants_preview` it asks for a preview after each step, and records it.
    """

    def __init__(self, *, cancel_after: int | None = None, wants_preview: bool = False) -> None:
        self.steps: list[tuple[int, int]] = []
        self.previews: list[bytes] = []
        self.wants_preview = wants_preview
        self._cancel_after = cancel_after

    @property
    def cancelled(self) -> bool:
        return len(self.steps) == self._cancel_after

    def step_done(self, step: int, steps: int) -> None:
        self.steps.append((step, steps))

    def preview(self, draw: Callable[[], bytes]) -> None:
        self.previews.append(draw())


async def progress_when(job: Job, holds: Callable[[JobProgress], bool]) -> JobProgress:
    """The first progress for which `holds` is true."""
    progress = job.progress
    while not holds(progress):
        assert not progress.state.is_final, progress
        progress = await job.wait_change(since=progress)

    return progress


async def stepping(job: Job) -> JobProgress:
    """The progress after the job's first step."""
    return await progress_when(job, lambda progress: progress.step > 0)


async def worker_when(executor: Executor, state: WorkerState) -> WorkerStatus:
    """The first worker's status, as soon as it is in that state."""
    while (status := executor.status().workers[0]).state is not state:  # noqa: ASYNC110 - as below
        await asyncio.sleep(0.01)  # a worker's state is not announced: callers wait for jobs

    return status


def pid_of(executor: Executor) -> int:
    """The process id of the first worker, which must be alive."""
    pid = executor.status().workers[0].pid
    assert pid is not None

    return pid

"""One request on its way: what the person who waits may see and do."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from generation.errors import GenerationError
from generation.request import ImageRequest, Preview, Result


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in {JobState.DONE, JobState.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How a job stands at one moment.

    loading: its model is being loaded; then it begins.
    position: place in the line while it waits; 1 is next.
    eta_s: seconds until its pictures are there, as far as measured; None when nothing is known.
        Left out of comparisons: time that passes is not a change.
    preview: the latest picture of how far the images are, if one was drawn.
    """

    state: JobState
    position: int | None = None
    eta_s: float | None = field(default=None, compare=False)
    loading: bool = False
    step: int = 0
    steps: int
    preview: Preview | None = None


class Desk(Protocol):
    """What a job asks of the executor that holds it."""

    def progress_of(self, job: "Job") -> JobProgress: ...

    def cancel(self, job: "Job") -> bool: ...


class Job:
    """A promise of pictures. Made by `Executor.submit`; always kept or broken with an error."""

    def __init__(self, *, job_id: int, request: ImageRequest, owner: int, desk: Desk) -> None:
        self.id = job_id
        self.request = request
        self.owner = owner
        self.state = JobState.WAITING
        self.workers_lost = 0
        """How many workers ended while they made it."""
        self.spent_s = 0.0
        """Running time on the workers that were lost."""
        self._desk = desk
        self._changed = asyncio.Event()
        self._result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    @property
    def progress(self) -> JobProgress:
        """How the job stands right now."""
        return self._desk.progress_of(self)

    async def wait_change(self, *, since: JobProgress | None = None) -> JobProgress:
        """The progress after its next change; of a finished job, its last.

        With `since`, returns at once if the job no longer stands as it did then, so that a
        caller who was busy in between misses nothing. Changes are not queued: a slow caller sees
        the latest one only. Any number of callers may wait.
        """
        if since is None:
            since = self.progress

        while not self.state.is_final and self.progress == since:
            await self._changed.wait()

        return self.progress

    async def result(self) -> Result:
        """The pictures, when they are there.

        Raises Cancelled, DeadlineExceeded, BackendUnavailable, Closing, RequestFailed or one of
        its kinds. Cancelling the caller leaves the job as it is; `cancel` is what stops it.
        """
        return await asyncio.shield(self._result)

    def cancel(self) -> bool:
        """Ask for the job's end; false if it is over already.

        A waiting job ends at once. A running one ends between two steps, or when the executor
        gives up on a worker that takes no notice; its pictures are discarded in any case.
        """
        return self._desk.cancel(self)

    def keep(self, result: Result) -> None:
        """For the executor: the pictures are there."""
        self.state = JobState.DONE
        self._result.set_result(result)
        self.notify()

    def break_off(self, error: GenerationError) -> None:
        """For the executor: there will be no pictures."""
        self.state = JobState.FAILED
        self._result.set_exception(error)
        self._result.exception()  # asked once: a job that nobody waits for is not a warning
        self.notify()

    def notify(self) -> None:
        """For the executor: wake everybody who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

"""A request in the queue, as seen by the person who waits for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

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
    """The progress of a job at one moment.

    position: place in the queue while the job waits; 1 is next.
    eta_s: estimated seconds until the images are finished; None while unknown. Left out of
        comparisons: time that passes is not a change.
    loading: the model is being loaded; the steps begin afterwards.
    preview: the latest preview, if one was drawn.
    """

    state: JobState
    position: int | None = None
    eta_s: float | None = field(default=None, compare=False)
    loading: bool = False
    step: int = 0
    steps: int
    preview: Preview | None = None


class Job:
    """One submission of an ImageRequest: who asked, how far it is, and what came of it.

    The same request can be submitted many times; each is a job. Created by `Executor.submit`.
    Every job ends with a result or an error.
    """

    def __init__(
        self,
        *,
        job_id: int,
        request: ImageRequest,
        parent: bytes | None,
        owner: int,
        group: int | None,
        progress_of: "Callable[[Job], JobProgress]",
        cancel: "Callable[[Job], bool]",
    ) -> None:
        self.id = job_id
        self.request = request
        self.parent = parent
        self.owner = owner
        self.group = group
        self.state = JobState.WAITING
        self.workers_lost = 0
        """How many workers were lost while they ran this job."""
        self.lost_s = 0.0
        """Seconds that this job ran on those workers."""
        self._progress_of = progress_of
        self._cancel = cancel
        self._changed = asyncio.Event()
        self._begun = asyncio.Event()
        self._result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    @property
    def progress(self) -> JobProgress:
        """The progress right now."""
        return self._progress_of(self)

    async def wait_change(self, *, since: JobProgress | None = None) -> JobProgress:
        """The progress after its next change; for a finished job, its last progress.

        With `since`, returns at once if the progress differs from it already, so that a caller
        that was busy meanwhile misses nothing. Changes are not queued: a slow caller sees only
        the latest. Any number of callers may wait.
        """
        if since is None:
            since = self.progress

        while not self.state.is_final and self.progress == since:
            await self._changed.wait()

        return self.progress

    async def begun(self) -> None:
        """Wait until a worker has the job, for the first time."""
        await self._begun.wait()

    async def result(self) -> Result:
        """Wait for the images.

        Raises Cancelled, DeadlineExceeded, BackendUnavailable, Closing, or RequestFailed and its
        subclasses. Cancelling the caller does not cancel the job; `cancel` does.
        """
        return await asyncio.shield(self._result)

    def cancel(self) -> bool:
        """Cancel the job; false if it has ended already.

        A waiting job ends at once. A running one ends after the current step, or when its worker
        stops responding and is killed. Its images are discarded in any case.
        """
        return self._cancel(self)

    def enter(self, state: JobState) -> None:
        """For the executor: the state changes."""
        self.state = state
        if state is JobState.RUNNING:
            self._begun.set()

        self.notify()

    def finish(self, result: Result) -> None:
        """For the executor: the images are finished."""
        self._result.set_result(result)
        self.enter(JobState.DONE)

    def fail(self, error: GenerationError) -> None:
        """For the executor: there will be no images."""
        self._result.set_exception(error)
        self._result.exception()  # retrieved, so that asyncio does not warn if nobody waits
        self.enter(JobState.FAILED)

    def notify(self) -> None:
        """For the executor: wake all callers of `wait_change`."""
        self._changed.set()
        self._changed = asyncio.Event()

"""One attempt at a job: its clocks, its deadline, and how it ends."""

import asyncio
import time
from collections.abc import Callable

from generation.errors import DeadlineExceeded, GenerationError
from generation.queue.job import Job, JobProgress, JobState
from generation.request import Preview, Result
from generation.worker.stopwatch import Stopwatch


class Attempt:
    """A job run by one worker process. If that is lost, the job may have a second attempt.

    stop: called with DeadlineExceeded when the job's running time is over. Loading its model
    does not count as running.
    """

    def __init__(
        self,
        job: Job,
        *,
        deadline_s: float,
        stop: Callable[[GenerationError], None],
    ) -> None:
        self.job = job
        self.loading_since: float | None = None
        """Set while the job's model is loading."""
        self.stop_reason: GenerationError | None = None
        """Set once the worker was asked to stop: the error that the job will end with."""
        self._preview: Preview | None = None
        self._deadline_s = deadline_s
        self._stop = stop
        self._start_clocks()
        job.enter(JobState.RUNNING)

    def progress(self, *, eta_s: float | None) -> JobProgress:
        return JobProgress(
            state=JobState.RUNNING,
            eta_s=eta_s,
            loading=self.loading_since is not None,
            step=self.stopwatch.step,
            steps=self.stopwatch.steps or self.job.request.steps_made,
            preview=self._preview,
        )

    def begin_loading(self) -> None:
        self.loading_since = time.perf_counter()
        self._deadline.cancel()
        self.job.notify()

    def begin_steps(self) -> None:
        """Start the clocks again: the model is loaded, or the request is made a second time."""
        self.loading_since = None
        self._deadline.cancel()
        self._start_clocks()
        self.job.notify()

    def step_done(self, step: int, steps: int) -> None:
        self.stopwatch.lap(step, steps, now=time.perf_counter())
        self.job.notify()

    def show(self, preview: Preview) -> None:
        self._preview = preview
        self.job.notify()

    def end(self, outcome: Result | GenerationError) -> None:
        """End the job, with `stop_reason` if there is one, even if the images are finished."""
        self._deadline.cancel()
        if self.stop_reason is not None:
            self.job.fail(self.stop_reason)
        elif isinstance(outcome, Result):
            self.job.finish(outcome)
        else:
            self.job.fail(outcome)

    def lose(self) -> None:
        """The worker is lost: the attempt ends, its running time counts, the job goes on."""
        self._deadline.cancel()
        self.job.lost_s += time.perf_counter() - self.stopwatch.started_at

    def _start_clocks(self) -> None:
        # Not the loop's clock, which the demo replaces.
        self.stopwatch = Stopwatch(started_at=time.perf_counter())
        self._deadline = asyncio.get_running_loop().call_later(
            self._deadline_s - self.job.lost_s,
            self._stop,
            DeadlineExceeded(seconds=self._deadline_s),
        )

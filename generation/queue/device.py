"""One device: the worker process on it, and the job that it makes."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, assert_never

from generation.errors import (
    BackendUnavailable,
    Cancelled,
    DeadlineExceeded,
    GenerationError,
    NotChecked,
    OutOfMemory,
    RequestFailed,
)
from generation.queue.estimates import Pace
from generation.queue.job import Job, JobState
from generation.queue.limits import ExecutorLimits
from generation.queue.worker_process import WorkerProcess
from generation.request import ImageRequest, Preview, Provenance, Result
from generation.worker.backend import BackendSpec
from generation.worker.messages import (
    Cancel,
    Failed,
    FailureKind,
    Finished,
    FromWorker,
    Generate,
    Loaded,
    LoadFailed,
    Loading,
    PreviewDrawn,
    Ready,
    Serving,
    StepDone,
    Stopped,
)
from generation.worker.stopwatch import Stopwatch

log = logging.getLogger(__name__)

_LONGEST_RETRY_S = 60.0
_FAILURES = {
    FailureKind.REQUEST: RequestFailed,
    FailureKind.MEMORY: OutOfMemory,
    FailureKind.MODEL: BackendUnavailable,
    FailureKind.CHECK: NotChecked,
}


class WorkerState(StrEnum):
    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"
    RESTARTING = "restarting"
    FAILED = "failed"
    """It could not load. Tried again from time to time, and `failed` until that succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """pid: None between two processes. models: those that are loaded, with their revisions.

    serving: how requests are served, as a phrase; empty when there is nothing to say of it.
    """

    device: str
    pid: int | None
    state: WorkerState
    restarts: int
    last_error: str | None
    models: tuple[str, ...]
    serving: str


@dataclass(slots=True, kw_only=True)
class Run:
    """One try at one job."""

    job: Job
    watch: Stopwatch
    alarm: asyncio.TimerHandle
    """Rings at the deadline."""
    preview: Preview | None = None
    loading_since: float | None = None
    """While its model is being loaded, which counts neither as running nor as silence."""
    stop_reason: GenerationError | None = None
    """Set once the worker was asked to stop: what the job will end with."""


class Line(Protocol):
    """Where a device gets its jobs, and takes those back that it could not finish."""

    def device_changed(self) -> None:
        """The device became idle, or can no longer serve."""

    def take_back(self, job: Job, *, why: str) -> None:
        """The worker was lost while it made this job."""


class Device:
    """Keeps a worker process alive on one device, and makes one job at a time with it."""

    def __init__(
        self,
        name: str,
        *,
        models: Mapping[str, BackendSpec],
        limits: ExecutorLimits,
        line: Line,
        now: Callable[[], float],
    ) -> None:
        self.state = WorkerState.LOADING
        self.run: Run | None = None
        self.last_error: str | None = None
        self.pace = Pace()
        self._name = name
        self._models = models
        self._limits = limits
        self._line = line
        self._now = now
        self._worker: WorkerProcess | None = None
        self._loaded: Mapping[str, Provenance] = {}
        self._load_s: dict[str, float] = {}  # what loading each model took the last time
        self._serving = ""
        self._restarts = 0
        self._refusal: str | None = None  # why this worker will not serve, if it said so
        self._failures = 0  # workers that ended in a row without answering a request

    @property
    def is_loaded(self) -> bool:
        return bool(self._loaded)

    def holds(self, model: str) -> bool:
        """Whether the model is loaded, so that a request for it starts at once."""
        return model in self._loaded

    def status(self) -> WorkerStatus:
        return WorkerStatus(
            device=self._name,
            pid=None if self._worker is None else self._worker.pid,
            state=self.state,
            restarts=self._restarts,
            last_error=self.last_error,
            models=tuple(
                sorted(f"{made_by.model} ({made_by.revision})" for made_by in self._loaded.values())
            ),
            serving=self._serving,
        )

    async def keep(self) -> None:
        """Keep a worker alive until cancelled; then it is gone, and its job taken back."""
        try:
            while True:
                await self._serve_with_one_worker()
                await asyncio.sleep(self._retry_delay_s())
                self._restarts += 1
        except Exception:
            log.exception("the keeper of the worker on %s failed", self._name)
            raise
        finally:
            self.state = WorkerState.FAILED
            self._line.device_changed()

    def start(self, job: Job) -> None:
        """Begin a job; only while idle."""
        if self._worker is None or self.state is not WorkerState.IDLE:
            raise RuntimeError(f"the worker on {self._name} is {self.state}, not idle")

        self.run = Run(job=job, watch=Stopwatch(started_at=self._now()), alarm=self._alarm(job))
        self.state = WorkerState.BUSY
        self._worker.send(Generate(job_id=job.id, request=job.request))
        self._worker.expect_event(within_s=self._limits.silence_s)
        job.state = JobState.RUNNING
        job.notify()

    def stop(self, reason: GenerationError) -> None:
        """Ask for the running job's end; it ends with the first reason that was given."""
        if self._worker is not None and self.run is not None and self.run.stop_reason is None:
            self.run.stop_reason = reason
            self._worker.send(Cancel(job_id=self.run.job.id))

    def free_in_s(self) -> float | None:
        """Seconds until the worker is idle; None while that is not known."""
        if self.run is None or self.run.stop_reason is not None:
            return 0.0  # one that was told to stop does so at its next step

        if self.run.loading_since is not None:
            whole_s = self.whole_s(self.run.job.request)
            spent_s = self._now() - self.run.loading_since
            return None if whole_s is None else max(0.0, whole_s - spent_s)

        return self.pace.rest_s(self.run.job.request, self.run.watch, now=self._now())

    def whole_s(self, request: ImageRequest) -> float | None:
        """Seconds that a request takes here, with loading its model; None while unknown."""
        load_s = 0.0 if self.holds(request.model) else self._load_s.get(request.model)
        making_s = self.pace.whole_s(request)

        return None if load_s is None or making_s is None else load_s + making_s

    async def _serve_with_one_worker(self) -> None:
        worker = WorkerProcess(self._models, device=self._name)
        self._refusal = None
        try:
            async with worker.running():
                self._worker = worker
                worker.expect_event(within_s=self._limits.load_s)
                async for event in worker.events():
                    self._handle(event, worker)
        except asyncio.CancelledError:
            self._refusal = "The executor is closed."
            raise
        finally:
            self._worker = None
            self._bury(worker.ending)

    def _handle(self, event: FromWorker, worker: WorkerProcess) -> None:
        match event:
            case Ready(provenance=provenance):
                log.info("the worker on %s (pid %s) is ready", self._name, worker.pid)
                self._loaded = {"": provenance}
                self._rest(worker)
            case LoadFailed(reason=reason):
                log.warning("the worker on %s cannot load: %s", self._name, reason)
                self._refusal = reason
            case Loading():
                run = self._run_of(event.job_id)
                run.loading_since = self._now()
                run.alarm.cancel()
                worker.expect_event(within_s=self._limits.load_s)
                run.job.notify()
            case Loaded(models=models):
                self._loaded = models
                self._begin_anew(self._run_of(event.job_id))
                worker.expect_event(within_s=self._limits.silence_s)
            case Serving(how=how):
                log.info("the worker on %s serves %s", self._name, how or "as ever")
                self._serving = how
            case StepDone(step=step, steps=steps):
                run = self._run_of(event.job_id)
                run.watch.lap(step, steps, now=self._now())
                worker.expect_event(within_s=self._limits.silence_s)
                run.job.notify()
            case PreviewDrawn(preview=preview):
                run = self._run_of(event.job_id)
                run.preview = preview
                run.job.notify()
            case Finished():
                self._conclude(event.job_id, self._result_of(event))
                self._rest(worker)
            case Stopped():
                self._conclude(event.job_id, Cancelled())
                self._rest(worker)
            case Failed(kind=kind, cause=cause):
                self._conclude(event.job_id, _FAILURES[kind](cause))
                self._rest(worker)
            case _:
                assert_never(event)

    def _begin_anew(self, run: Run) -> None:
        now = self._now()
        if run.loading_since is not None:
            self._load_s[run.job.request.model] = now - run.loading_since

        run.loading_since = None
        run.alarm.cancel()
        run.alarm = self._alarm(run.job)
        run.watch = Stopwatch(started_at=now)
        run.job.notify()

    def _alarm(self, job: Job) -> asyncio.TimerHandle:
        limit_s = self._limits.deadline_s

        return asyncio.get_running_loop().call_later(
            limit_s - job.spent_s, self.stop, DeadlineExceeded(seconds=limit_s)
        )

    def _rest(self, worker: WorkerProcess) -> None:
        self.state = WorkerState.IDLE
        worker.expect_event(within_s=None)
        self._line.device_changed()

    def _run_of(self, job_id: int) -> Run:
        if self.run is None or self.run.job.id != job_id:
            raise RuntimeError(f"the worker on {self._name} speaks of job {job_id}, not its own")

        return self.run

    def _result_of(self, event: Finished) -> Result:
        run = self._run_of(event.job_id)
        now = self._now()
        self.pace.learn(run.job.request, run.watch, finished_at=now)

        return Result(
            images=event.made.images,
            provenance=event.made.provenance,
            seconds=now - run.watch.started_at,
        )

    def _conclude(self, job_id: int, outcome: Result | GenerationError) -> None:
        run = self._run_of(job_id)
        run.alarm.cancel()
        self.run = None
        self._failures = 0
        outcome = run.stop_reason or outcome  # whoever asked for an end was promised one
        if isinstance(outcome, Result):
            run.job.keep(outcome)
        else:
            run.job.break_off(outcome)

    def _bury(self, ending: str) -> None:
        """The process is gone: note why, and give back what it was making."""
        if self._refusal is not None:
            self.last_error = self._refusal
        else:
            doing = "serving" if self.is_loaded else "loading"
            self.last_error = f"The worker on {self._name} ended while {doing}: {ending}."
            log.warning("%s", self.last_error)

        self.state = WorkerState.RESTARTING if self.is_loaded else WorkerState.FAILED
        self._failures += 1
        self._loaded = {}
        self._serving = ""
        run, self.run = self.run, None
        if run is not None:
            run.alarm.cancel()
            run.job.spent_s += self._now() - run.watch.started_at
            if run.stop_reason is not None:
                run.job.break_off(run.stop_reason)
            else:
                self._line.take_back(run.job, why=ending)

        self._line.device_changed()

    def _retry_delay_s(self) -> float:
        doublings = min(self._failures - 1, 16)

        return min(_LONGEST_RETRY_S, self._limits.retry_s * 2.0**doublings)

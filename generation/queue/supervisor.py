"""Keeps one worker alive: starts it, gives it jobs, replaces it when it ends."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import assert_never

from generation.errors import GenerationError
from generation.processes.link import StartWorker, WorkerLink
from generation.queue.attempt import Attempt
from generation.queue.estimates import Estimates, first_known
from generation.queue.job import Job
from generation.queue.limits import ExecutorLimits
from generation.queue.status import WorkerState, WorkerStatus
from generation.request import Made, Provenance, Result
from generation.worker.messages import (
    Cancel,
    Failed,
    Finished,
    FromWorker,
    Generate,
    JobMessage,
    Loaded,
    LoadFailed,
    Loading,
    PreviewDrawn,
    Ready,
    Serving,
    StepDone,
)

log = logging.getLogger(__name__)

_MAX_RETRY_S = 60.0


class WorkerSupervisor:
    """Keeps a worker alive in one place, and gives it one job at a time.

    name: of the place, for the operator: a device, or a number among the workers of a cluster.
    start_worker: makes a new worker, which is then started.
    changed: called when the worker becomes idle or can no longer serve.
    job_lost: called with a job and the reason when the worker was lost while it ran the job.
    """

    def __init__(
        self,
        name: str,
        start_worker: StartWorker,
        *,
        limits: ExecutorLimits,
        changed: Callable[[], None],
        job_lost: Callable[[Job, str], None],
    ) -> None:
        self.state = WorkerState.LOADING
        self.attempt: Attempt | None = None
        self.last_error: str | None = None
        self.estimates = Estimates()
        self._name = name
        self._start_worker = start_worker
        self._limits = limits
        self._changed = changed
        self._job_lost = job_lost
        self._worker: WorkerLink | None = None
        self._loaded: Mapping[str, Provenance] = {}
        self._load_s: dict[str, float] = {}  # model -> how long loading it took the last time
        self._serving = ""
        self._restarts = 0
        self._refusal: str | None = None  # why this worker will not serve, if it reported it
        self._failures = 0  # workers in a row that ended without finishing a job

    @property
    def is_idle(self) -> bool:
        """Whether a job may be started. A worker that has just ended still looks idle until its
        supervisor hears of it."""
        worker = self._worker

        return self.state is WorkerState.IDLE and worker is not None and not worker.ending

    @property
    def has_failed(self) -> bool:
        """Whether it cannot serve, and waits for nothing that may change that."""
        waits = self._worker is not None and self._worker.waits_for

        return self.state is WorkerState.FAILED and not waits

    @property
    def is_loaded(self) -> bool:
        return bool(self._loaded)

    def holds(self, model: str) -> bool:
        """Whether the model is loaded, so that a request for it starts at once."""
        return model in self._loaded

    @property
    def models(self) -> Set[str]:
        """The models that it holds."""
        return self._loaded.keys()

    def load_s(self, model: str) -> float | None:
        """How long loading the model took here the last time; None if it was never requested."""
        return self._load_s.get(model)

    def status(self) -> WorkerStatus:
        worker = self._worker
        waits_for = "" if worker is None else worker.waits_for

        return WorkerStatus(
            device=self._name,
            host=None if worker is None else worker.host,
            pid=None if worker is None else worker.pid,
            state=WorkerState.WAITING if waits_for else self.state,
            restarts=self._restarts,
            last_error=waits_for or self.last_error,
            models=tuple(
                sorted(f"{model.model} ({model.revision})" for model in self._loaded.values())
            ),
            serving=self._serving,
        )

    async def run(self) -> None:
        """Keep a worker alive until cancelled; on return it is gone."""
        try:
            while True:
                await self._run_worker()
                await asyncio.sleep(self._retry_delay_s())
                self._restarts += 1
        except Exception:
            log.exception("the supervisor of the worker on %s failed", self._name)
            raise
        finally:
            self.state = WorkerState.FAILED
            self._changed()

    def start(self, job: Job) -> None:
        """Begin a job. Raises RuntimeError unless the worker is idle."""
        if self._worker is None or not self.is_idle:
            raise RuntimeError(f"the worker on {self._name} is {self.state}, not idle")

        log.info("job %d begins on %s", job.id, self._worker.host or self._name)
        self.attempt = Attempt(job, deadline_s=self._limits.deadline_s, stop=self.stop)
        self.state = WorkerState.BUSY
        self._worker.send(Generate(job_id=job.id, request=job.request, parent=job.parent))
        self._worker.expect_message(within_s=self._limits.silence_s)

    def stop(self, reason: GenerationError) -> None:
        """Ask the worker to stop its job, if any. The job ends with the first reason given."""
        attempt = self.attempt
        if self._worker is not None and attempt is not None and attempt.stop_reason is None:
            attempt.stop_reason = reason
            self._worker.send(Cancel(job_id=attempt.job.id))

    def free_in_s(self, others: "Sequence[WorkerSupervisor]") -> float | None:
        """Estimated seconds until the worker is idle; None while unknown.

        others: whose estimates serve until this worker has its own.
        """
        attempt = self.attempt
        if attempt is None or attempt.stop_reason is not None:
            return 0.0  # a worker that was asked to stop does so after its current step

        now = time.perf_counter()
        request = attempt.job.request
        known = (self, *others)
        if self.holds(request.model):
            return first_known(
                other.estimates.remaining_s(request, attempt.stopwatch, now=now) for other in known
            )

        load_s = first_known(other.load_s(request.model) for other in known)
        run_s = first_known(other.estimates.total_s(request) for other in known)
        if load_s is None or run_s is None:
            return None

        return max(0.0, load_s + run_s - (now - attempt.stopwatch.started_at))

    async def _run_worker(self) -> None:
        worker = self._start_worker()
        self._refusal = None
        try:
            async with worker.running():
                self._worker = worker
                worker.expect_message(within_s=self._limits.load_s)
                async for message in worker.messages():
                    self._handle(message, worker)
        except asyncio.CancelledError:
            self._refusal = "The executor is closed."
            raise
        finally:
            self._worker = None
            self._worker_ended(worker.ending)

    def _handle(self, message: FromWorker, worker: WorkerLink) -> None:
        match message:
            case Ready(models=models):
                where = worker.host or f"pid {worker.pid}"
                log.info("the worker on %s (%s) is ready", self._name, where)
                self._loaded = models
                self._become_idle(worker)
            case LoadFailed(reason=reason):
                log.warning("the worker on %s cannot load: %s", self._name, reason)
                self._refusal = reason
            case Serving(how=how):
                if how != self._serving:
                    log.info("the worker on %s: serving %s", self._name, how or "unchanged")

                self._serving = how
                if self.attempt is not None:  # its request waits until the worker is done
                    worker.expect_message(within_s=self._limits.silence_s)
            case _:
                self._handle_job(self._attempt_at(message.job_id), message, worker)

    def _handle_job(self, attempt: Attempt, message: JobMessage, worker: WorkerLink) -> None:
        match message:
            case Loading():
                attempt.begin_loading()
                worker.expect_message(within_s=self._limits.load_s)
            case Loaded(models=models):
                self._loaded = models
                if attempt.loading_since is not None:
                    model = attempt.job.request.model
                    self._load_s[model] = time.perf_counter() - attempt.loading_since

                attempt.begin_steps()
                worker.expect_message(within_s=self._limits.silence_s)
            case StepDone(step=step, steps=steps):
                attempt.step_done(step, steps)
                worker.expect_message(within_s=self._limits.silence_s)
            case PreviewDrawn(preview=preview):
                attempt.show(preview)
            case Finished(made=made):
                self._end_attempt(attempt, self._result(attempt, made), worker)
            case Failed(error=error):
                self._end_attempt(attempt, error, worker)
            case _:
                assert_never(message)

    def _attempt_at(self, job_id: int) -> Attempt:
        if self.attempt is None or self.attempt.job.id != job_id:
            raise RuntimeError(f"the worker on {self._name} sent a message about job {job_id}")

        return self.attempt

    def _result(self, attempt: Attempt, made: Made) -> Result:
        now = time.perf_counter()
        self.estimates.learn(attempt.job.request, attempt.stopwatch, finished_at=now)

        return Result(
            request=made.request,
            images=made.images,
            provenance=made.provenance,
            seconds=now - attempt.stopwatch.started_at,
        )

    def _end_attempt(
        self, attempt: Attempt, outcome: Result | GenerationError, worker: WorkerLink
    ) -> None:
        self.attempt = None
        self._failures = 0
        attempt.end(outcome)
        self._become_idle(worker)

    def _become_idle(self, worker: WorkerLink) -> None:
        self.state = WorkerState.IDLE
        worker.expect_message(within_s=None)
        self._changed()

    def _worker_ended(self, ending: str) -> None:
        """Record why the worker ended, and end or return the job that it was running."""
        if self._refusal is not None:
            self.last_error = self._refusal
        else:
            doing = "serving" if self.is_loaded else "loading"
            self.last_error = f"The worker on {self._name} ended while {doing}: {ending}."
            log.warning("%s", self.last_error)

        self._failures += 1
        # A first loss while loading may be an accident: what waits in the queue is not refused yet.
        may_load = self.is_loaded or (self._refusal is None and self._failures == 1)
        self.state = WorkerState.RESTARTING if may_load else WorkerState.FAILED
        self._loaded = {}
        self._serving = ""
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.lose()
            if attempt.stop_reason is not None:
                attempt.job.fail(attempt.stop_reason)
            else:
                self._job_lost(attempt.job, ending)

        self._changed()

    def _retry_delay_s(self) -> float:
        doublings = min(self._failures - 1, 16)

        return min(_MAX_RETRY_S, self._limits.retry_s * 2.0**doublings)

"""The worker process: owns one device, runs one job at a time, and dies with its parent."""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TypeAlias, assert_never

from generation.errors import (
    BackendUnavailable,
    Cancelled,
    NotChecked,
    OutOfMemory,
    RequestFailed,
)
from generation.request import Made, Preview
from generation.safety.screen import Screen
from generation.worker.backend import Backend, BackendSpec
from generation.worker.loaded_models import LoadedModels
from generation.worker.messages import (
    Cancel,
    Failed,
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
    ToWorker,
)
from generation.worker.parent import die_with_parent
from generation.worker.preview_budget import PreviewBudget
from generation.worker.stopwatch import Stopwatch

log = logging.getLogger(__name__)

_BETWEEN_S = 1.0
"""How often `between_requests` is called while the worker is idle."""

Pipe: TypeAlias = "Connection[FromWorker, ToWorker]"  # generic for type checkers only


def serve(models: Mapping[str, BackendSpec], device: str, pipe: Pipe) -> None:
    """Load the default model, then run jobs until the process is killed or the parent is gone.

    models: the models that may be requested, by name. The first is the default; each of the others
    is loaded when it is first requested.

    This thread is the only one that touches a backend or writes to the pipe. A second thread
    reads the pipe, so that a cancellation arrives while a job is running.
    """
    die_with_parent()
    if device in ("cpu", "auto"):
        os.nice(10)  # the bot answers at once, even if images on the CPU take longer for it

    inbox = _Inbox(pipe)
    threading.Thread(target=inbox.read_forever, name="pipe-reader", daemon=True).start()
    worker = _Worker(models, device, inbox, pipe)
    if worker.load_default():
        worker.run_jobs()


class _Inbox:
    """What the parent sent: the next job, and the id of the cancelled one."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.jobs: queue.SimpleQueue[Generate] = queue.SimpleQueue()
        self.cancelled_id = -1

    def read_forever(self) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(0)  # the parent is gone or closed the pipe, so nobody needs the result

            match message:
                case Generate():
                    self.jobs.put(message)
                case Cancel(job_id=job_id):
                    self.cancelled_id = job_id
                case _:
                    assert_never(message)


class _Worker:
    def __init__(
        self, models: Mapping[str, BackendSpec], device: str, inbox: _Inbox, pipe: Pipe
    ) -> None:
        self._device = device
        self._inbox = inbox
        self._pipe = pipe
        self._models = LoadedModels(models, device=device)
        self._default = next(iter(models))
        self._screen = Screen(models[self._default].safety, device=device)
        self._budget = PreviewBudget()

    def load_default(self) -> bool:
        """Load the default model and report it; false if it cannot be loaded."""
        try:
            self._screen.load()  # before the model, which may then use the memory that is left
            self._models.load(self._default)
        except BackendUnavailable as exc:
            reason = exc.reason
        except OutOfMemory as exc:
            reason = f"The model does not fit on {self._device}: {exc.cause}"
        except Exception as exc:
            log.exception("loading the model on %s failed", self._device)
            reason = f"Loading the model on {self._device} failed: {_summary(exc)}"
        else:
            self._pipe.send(Ready(models=self._models.provenance()))
            return True

        self._pipe.send(LoadFailed(reason=reason))

        return False

    def run_jobs(self) -> None:
        serving = ""
        while True:
            if (how := self._models.between_requests()) != serving:
                self._pipe.send(Serving(how=how))
                serving = how

            with suppress(queue.Empty):
                self._pipe.send(self._run(self._inbox.jobs.get(timeout=_BETWEEN_S)))

    def _run(self, job: Generate) -> Finished | Failed:
        try:
            return Finished(job_id=job.job_id, made=self._screen.screened(self._generate(job)))
        except (Cancelled, OutOfMemory) as exc:
            return Failed(job_id=job.job_id, error=exc)
        except BackendUnavailable as exc:
            log.warning("the model %s cannot be loaded: %s", job.request.model, exc)
            return Failed(job_id=job.job_id, error=exc)
        except NotChecked as exc:
            log.exception("the images of job %d could not be checked", job.job_id)
            return Failed(job_id=job.job_id, error=exc)
        except Exception as exc:
            log.exception("job %d failed", job.job_id)
            return Failed(job_id=job.job_id, error=RequestFailed(_summary(exc)))

    def _generate(self, job: Generate) -> Made:
        """Make the images. If memory does not suffice, unload the other models and try again."""
        backend = self._backend(job)
        try:
            return backend.generate(job.request, self._watcher(job))
        except OutOfMemory:
            if not self._models.unload_others(job.request.model):
                raise

        self._pipe.send(Loaded(job_id=job.job_id, models=self._models.provenance()))

        return backend.generate(job.request, self._watcher(job))

    def _backend(self, job: Generate) -> Backend:
        model = job.request.model
        if self._models.holds(model):
            return self._models.load(model)

        self._pipe.send(Loading(job_id=job.job_id))
        try:
            return self._models.load(model)
        finally:
            self._pipe.send(Loaded(job_id=job.job_id, models=self._models.provenance()))

    def _watcher(self, job: Generate) -> "_Watcher":
        return _Watcher(job.job_id, self._inbox, self._pipe, self._budget)


class _Watcher:
    """Reports the progress of one job to the parent, and the parent's cancellation to the backend.

    The parent reads all the time, so sending does not block: a preview is a few kilobytes.
    """

    def __init__(self, job_id: int, inbox: _Inbox, pipe: Pipe, budget: PreviewBudget) -> None:
        self._job_id = job_id
        self._inbox = inbox
        self._pipe = pipe
        self._budget = budget
        self._stopwatch = Stopwatch(started_at=time.perf_counter())
        budget.begin(now=self._stopwatch.started_at)

    @property
    def cancelled(self) -> bool:
        return self._inbox.cancelled_id == self._job_id

    def step_done(self, step: int, steps: int) -> None:
        self._stopwatch.lap(step, steps, now=time.perf_counter())
        self._pipe.send(StepDone(job_id=self._job_id, step=step, steps=steps))

    @property
    def wants_preview(self) -> bool:
        return self._budget.allows(self._stopwatch, now=time.perf_counter())

    def preview(self, draw: Callable[[], bytes]) -> None:
        began = time.perf_counter()
        stopwatch = self._stopwatch
        try:
            drawn = Preview(step=stopwatch.step, steps=stopwatch.steps, jpeg=draw())
        except Exception:  # the images matter more than their previews
            log.exception("job %d continues without previews", self._job_id)
            self._budget.give_up()
            return

        self._pipe.send(PreviewDrawn(job_id=self._job_id, preview=drawn))
        self._budget.spend(time.perf_counter() - began, now=began)


def _summary(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"

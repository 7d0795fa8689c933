"""A worker: loads models, runs one job at a time, and reports what happens."""

import logging
import time
from collections.abc import Callable, Mapping

from generation.errors import (
    BackendUnavailable,
    Cancelled,
    CannotVary,
    NoNegativePrompt,
    NotChecked,
    OutOfMemory,
    RequestFailed,
)
from generation.request import Made, Preview
from generation.safety.screen import Screen
from generation.worker.backend import Backend
from generation.worker.loaded_models import LoadedModels
from generation.worker.messages import (
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
)
from generation.worker.preview_budget import PreviewBudget
from generation.worker.specs import BackendSpec
from generation.worker.stopwatch import Stopwatch

log = logging.getLogger(__name__)

Send = Callable[[FromWorker], None]


class Worker:
    """Owns one device. All methods except `cancel` must be called on one thread.

    models: the models that may be requested, by name. The first is the default; each of the others
        is loaded when it is first requested.
    send: reports to the executor; called on that thread.
    """

    def __init__(self, models: Mapping[str, BackendSpec], *, device: str, send: Send) -> None:
        self._device = device
        self._send = send
        self._models = LoadedModels(models, device=device)
        self._default = next(iter(models))
        self._screen = Screen(models[self._default].safety, device=device)
        self._budget = PreviewBudget()
        self._serving = ""
        self._cancelled_id = -1

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
            self._send(Ready(models=self._models.provenance()))
            return True

        self._send(LoadFailed(reason=reason))

        return False

    def between_requests(self) -> None:
        """Let the models work while the worker is idle, and report how they serve."""
        if (how := self._models.between_requests(self._report_serving)) != self._serving:
            self._report_serving(how)

    def _report_serving(self, how: str) -> None:
        self._send(Serving(how=how))
        self._serving = how

    def run(self, job: Generate) -> None:
        """Run the job and report how it ended."""
        self._send(self._outcome(job))

    def cancel(self, job_id: int) -> None:
        """Stop the job after its current step. May be called on any thread."""
        self._cancelled_id = job_id

    def _outcome(self, job: Generate) -> Finished | Failed:
        try:
            return Finished(job_id=job.job_id, made=self._screen.screened(self._generate(job)))
        except (Cancelled, CannotVary, NoNegativePrompt, OutOfMemory) as exc:
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
            return backend.generate(job.request, self._watcher(job), parent=job.parent)
        except OutOfMemory:
            if not self._models.unload_others(job.request.model):
                raise

        self._send(Loaded(job_id=job.job_id, models=self._models.provenance()))

        return backend.generate(job.request, self._watcher(job), parent=job.parent)

    def _backend(self, job: Generate) -> Backend:
        model = job.request.model
        if self._models.holds(model):
            return self._models.load(model)

        self._send(Loading(job_id=job.job_id))
        try:
            return self._models.load(model)
        finally:
            self._send(Loaded(job_id=job.job_id, models=self._models.provenance()))

    def _watcher(self, job: Generate) -> "_Watcher":
        return _Watcher(
            job.job_id,
            send=self._send,
            is_cancelled=lambda: self._cancelled_id == job.job_id,
            budget=self._budget,
        )


class _Watcher:
    """Reports the progress of one job, and its cancellation to the backend."""

    def __init__(
        self, job_id: int, *, send: Send, is_cancelled: Callable[[], bool], budget: PreviewBudget
    ) -> None:
        self._job_id = job_id
        self._send = send
        self._is_cancelled = is_cancelled
        self._budget = budget
        self._stopwatch = Stopwatch(started_at=time.perf_counter())
        budget.begin(now=self._stopwatch.started_at)

    @property
    def cancelled(self) -> bool:
        return self._is_cancelled()

    def step_done(self, step: int, steps: int) -> None:
        self._stopwatch.lap(step, steps, now=time.perf_counter())
        self._send(StepDone(job_id=self._job_id, step=step, steps=steps))

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

        self._send(PreviewDrawn(job_id=self._job_id, preview=drawn))
        self._budget.spend(time.perf_counter() - began, now=began)


def _summary(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"

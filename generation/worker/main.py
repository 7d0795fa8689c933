"""The process side: owns one device, serves one job at a time, and never outlives its parent."""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import TypeAlias, assert_never

from generation.errors import BackendUnavailable, Cancelled, NotChecked, OutOfMemory
from generation.request import Made, Preview
from generation.safety.screen import Screen
from generation.worker.backend import Backend, BackendSpec
from generation.worker.loaded_models import ModelShelf
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
    ToWorker,
)
from generation.worker.parent import die_with_parent
from generation.worker.preview_budget import PreviewBudget
from generation.worker.stopwatch import Stopwatch

log = logging.getLogger(__name__)

_BETWEEN_S = 1.0
"""How often a backend that has nothing to make is asked what it does between requests."""

Pipe: TypeAlias = "Connection[FromWorker, ToWorker]"  # generic for type checkers only


def serve(models: Mapping[str, BackendSpec], device: str, pipe: Pipe) -> None:
    """Load the default model, then serve jobs until the process is killed or the parent is gone.

    models: what may be asked for, by name; the empty name is the default's. The others are loaded
    when they are asked for.

    This thread is the only one that touches a backend or writes to the pipe; a second one
    reads the pipe, so that a cancellation arrives while a picture is being made.
    """
    die_with_parent()
    if device in ("cpu", "auto"):
        os.nice(10)  # whoever presses a button comes before a picture that takes minutes anyway

    inbox = _Inbox(pipe)
    threading.Thread(target=inbox.read_forever, name="pipe-reader", daemon=True).start()
    shelf = ModelShelf(models, device=device)
    screen = Screen(models[""].safety, device=device)
    budget = PreviewBudget()
    loaded = _load_default(shelf, screen, device, pipe)
    told = ""
    while loaded:
        if (how := shelf.between_requests()) != told:
            pipe.send(Serving(how=how))
            told = how

        with suppress(queue.Empty):
            job = inbox.jobs.get(timeout=_BETWEEN_S)
            watcher = partial(_Watcher, job.job_id, inbox, pipe, budget)
            pipe.send(_serve_one(shelf, screen, job, watcher, pipe))


class _Inbox:
    """What the parent said: a job to do, and which job to give up."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.jobs: queue.SimpleQueue[Generate] = queue.SimpleQueue()
        self.given_up = -1

    def read_forever(self) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(0)  # the parent is gone or closed the pipe; nobody wants what we make

            match message:
                case Generate():
                    self.jobs.put(message)
                case Cancel(job_id=job_id):
                    self.given_up = job_id
                case _:
                    assert_never(message)


class _Watcher:
    """Passes on what the backend says of one job, and what the parent said of it.

    The parent reads all the time, so that sending does not wait: a preview is a few kilobytes.
    """

    def __init__(self, job_id: int, inbox: _Inbox, pipe: Pipe, budget: PreviewBudget) -> None:
        self._job_id = job_id
        self._inbox = inbox
        self._pipe = pipe
        self._budget = budget
        self._watch = Stopwatch(started_at=time.perf_counter())
        budget.begin(now=self._watch.started_at)

    @property
    def cancelled(self) -> bool:
        return self._inbox.given_up == self._job_id

    def step_done(self, step: int, steps: int) -> None:
        self._watch.lap(step, steps, now=time.perf_counter())
        self._pipe.send(StepDone(job_id=self._job_id, step=step, steps=steps))

    @property
    def wants_preview(self) -> bool:
        return self._budget.allows(self._watch, now=time.perf_counter())

    def preview(self, draw: Callable[[], bytes]) -> None:
        began = time.perf_counter()
        try:
            drawn = Preview(step=self._watch.step, steps=self._watch.steps, jpeg=draw())
        except Exception:  # the images are what counts
            log.exception("job %d goes on without previews", self._job_id)
            self._budget.give_up()
            return

        self._pipe.send(PreviewDrawn(job_id=self._job_id, preview=drawn))
        self._budget.spend(time.perf_counter() - began, now=began)


def _load_default(shelf: ModelShelf, screen: Screen, device: str, pipe: Pipe) -> bool:
    try:
        screen.load()  # before the models, so that what they leave free is counted without it
        shelf.take("")
    except BackendUnavailable as exc:
        pipe.send(LoadFailed(reason=exc.reason))
        return False
    except OutOfMemory as exc:
        pipe.send(LoadFailed(reason=f"The model does not fit on {device}: {exc.cause}"))
        return False
    except Exception as exc:
        log.exception("loading the model on %s failed", device)
        pipe.send(LoadFailed(reason=f"Loading the model on {device} failed: {_summary(exc)}"))
        return False

    pipe.send(Ready(provenance=shelf.loaded()[""]))

    return True


def _serve_one(
    shelf: ModelShelf,
    screen: Screen,
    job: Generate,
    new_watcher: Callable[[], _Watcher],
    pipe: Pipe,
) -> FromWorker:
    try:
        made = screen.screened(_made(shelf, job, new_watcher, pipe))
    except Cancelled:
        return Stopped(job_id=job.job_id)
    except BackendUnavailable as exc:
        log.warning("the model %s cannot be loaded: %s", job.request.model, exc.reason)
        return Failed(job_id=job.job_id, kind=FailureKind.MODEL, cause=exc.reason)
    except OutOfMemory as exc:
        return Failed(job_id=job.job_id, kind=FailureKind.MEMORY, cause=exc.cause)
    except NotChecked as exc:
        log.exception("the images of job %d could not be checked", job.job_id)
        return Failed(job_id=job.job_id, kind=FailureKind.CHECK, cause=exc.cause)
    except Exception as exc:
        log.exception("job %d failed on this worker", job.job_id)
        return Failed(job_id=job.job_id, kind=FailureKind.REQUEST, cause=_summary(exc))

    return Finished(job_id=job.job_id, made=made)


def _made(
    shelf: ModelShelf, job: Generate, new_watcher: Callable[[], _Watcher], pipe: Pipe
) -> Made:
    """Made by the model that was asked for; with the others unloaded, if nothing less will do."""
    backend = _backend(shelf, job, pipe)
    try:
        return backend.generate(job.request, new_watcher())
    except OutOfMemory:
        if not shelf.unload_others(job.request.model):
            raise

    pipe.send(Loaded(job_id=job.job_id, models=shelf.loaded()))

    return backend.generate(job.request, new_watcher())


def _backend(shelf: ModelShelf, job: Generate, pipe: Pipe) -> Backend:
    model = job.request.model
    if shelf.holds(model):
        return shelf.take(model)

    pipe.send(Loading(job_id=job.job_id))
    try:
        return shelf.take(model)
    finally:
        pipe.send(Loaded(job_id=job.job_id, models=shelf.loaded()))


def _summary(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"

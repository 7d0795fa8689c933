"""A clock that runs as fast as the processor, and workers that only take their time on it."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar, assert_never
from unittest.mock import patch

from generation.processes.link import Link
from generation.queue import attempt, executor, supervisor
from generation.request import ImageRequest, Made, Provenance
from generation.worker.messages import (
    Cancel,
    Finished,
    FromWorker,
    Generate,
    Loaded,
    Loading,
    Ready,
    ToWorker,
)

Outcome = TypeVar("Outcome")

NOTICED_AFTER_S = 20.0
"""From a host's failure until its workers are given up, as with a real cluster."""


class _Selector(selectors.SelectSelector):
    """Does not wait: the time that it would have waited has passed."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0

        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def run_simulated(main: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run to the end on a loop whose time passes only while nothing is to be done."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        loop = runner.get_loop()
        clock = SimpleNamespace(perf_counter=loop.time)
        with patch.object(attempt, "time", clock), patch.object(supervisor, "time", clock):
            return runner.run(main)


@dataclass(slots=True, eq=False)
class SimulatedHost:
    """A host that is up, or fails and comes back. workers: those that run on it."""

    load_s: float
    seconds_for: Callable[[ImageRequest], float]
    is_up: bool = True
    workers: "set[SimulatedWorker]" = field(default_factory=set)

    def fail(self) -> None:
        """All of its workers stop now, and are given up together when that is noticed."""
        self.is_up = False
        for worker in self.workers:
            worker.freeze()

        asyncio.get_running_loop().call_later(NOTICED_AFTER_S, self._give_up)

    def come_back(self) -> None:
        """It has room for workers again."""
        self.is_up = True
        for worker in list(self.workers):
            worker.begin()

    def _give_up(self) -> None:
        for worker in list(self.workers):
            worker.lose()


class SimulatedWorker(Link[ToWorker, FromWorker]):
    """A worker that has room for one model, on its host once that is up."""

    def __init__(self, host: SimulatedHost, default: str) -> None:
        super().__init__()
        self._on = host
        self._model = default
        self._begun = False
        self._next: asyncio.TimerHandle | None = None

    @property
    def waits_for(self) -> str:
        return "" if self._begun else "its host is down"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._on.workers.add(self)
        if self._on.is_up:
            self.begin()

        try:
            yield
        finally:
            self.kill(reason="it was no longer needed")
            self._on.workers.discard(self)

    def send(self, message: ToWorker) -> None:
        match message:
            case Generate():
                self._serve(message)
            case Cancel():
                pass  # nobody cancels on the simulated day
            case _:
                assert_never(message)

    def begin(self) -> None:
        """Load the default model."""
        if not self._begun:
            self._begun = True
            self._later(self._on.load_s, Ready(models=self._loaded()))

    def freeze(self) -> None:
        """Nothing more comes from it."""
        if self._next is not None:
            self._next.cancel()

    def lose(self) -> None:
        """It is given up. One that waits for its host goes on waiting."""
        if self._begun and not self.ending:
            self._ended("its host is gone")

    def expect_message(self, *, within_s: float | None) -> None:
        """A lost host is noticed by its own failing."""

    def _kill(self) -> None:
        self.freeze()
        if not self.ending:
            self._ended("it was killed")

    def _serve(self, job: Generate) -> None:
        model = job.request.model
        if model == self._model:
            self._finish(job)
            return

        self._messages.put_nowait(Loading(job_id=job.job_id))
        self._model = model
        self._next = self._loop.call_later(self._on.load_s, self._finish_loaded, job)

    def _finish_loaded(self, job: Generate) -> None:
        self._messages.put_nowait(Loaded(job_id=job.job_id, models=self._loaded()))
        self._finish(job)

    def _finish(self, job: Generate) -> None:
        made = Made(request=job.request, images=(), provenance=_PROVENANCE)
        self._later(self._on.seconds_for(job.request), Finished(job_id=job.job_id, made=made))

    def _later(self, seconds: float, message: FromWorker) -> None:
        self._next = self._loop.call_later(seconds, self._messages.put_nowait, message)

    def _loaded(self) -> dict[str, Provenance]:
        return {self._model: _PROVENANCE}


_PROVENANCE = Provenance(
    backend="simulated",
    model="simulated",
    revision="1",
    scheduler="none",
    device="none",
    dtype="none",
    versions={},
)


@contextmanager
def simulated_workers(hosts: dict[str, SimulatedHost], default: str) -> Iterator[None]:
    """Executors that are opened in the context have workers on these hosts, by their devices."""
    with patch.object(
        executor, "WorkerProcess", lambda models, device: SimulatedWorker(hosts[device], default)
    ):
        yield

"""The asyncio side: a bounded, fair line of people, served by one worker process per device."""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

from generation.errors import (
    BackendUnavailable,
    Cancelled,
    Closing,
    GenerationError,
    QueueFull,
    TooManyYours,
    WorkerFailed,
)
from generation.queue.device import Device, Run, WorkerState, WorkerStatus
from generation.queue.estimates import Lane, Waiting, line_s
from generation.queue.fair_queue import FairQueue
from generation.queue.job import Job, JobProgress, JobState
from generation.queue.limits import ExecutorLimits
from generation.request import ImageRequest, Limits, checked
from generation.worker.backend import BackendSpec

log = logging.getLogger(__name__)

__all__ = ["Executor", "ExecutorLimits", "ExecutorStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStatus:
    """seconds_per_request: of the workers' last ones; None until one was finished."""

    waiting: int
    running: int
    workers: tuple[WorkerStatus, ...]
    seconds_per_request: float | None


class Executor:
    """Makes images in worker processes, for many people, fairly.

    People take turns: round robin between them, in order within one person's requests. Every
    job handed out ends in pictures or an error. A worker that dies or goes silent is replaced
    and its request tried once more, ahead of the line. Jobs do not survive this process.
    """

    def __init__(
        self,
        models: Mapping[str, BackendSpec],
        *,
        devices: Sequence[str],
        limits: ExecutorLimits,
        request_limits: Limits,
    ) -> None:
        self._limits = limits
        self._request_limits = request_limits
        self._line: FairQueue[Job] = FairQueue()
        self._ids = itertools.count(1)
        self._closing = False
        self._nothing_runs = asyncio.Event()
        self._nothing_runs.set()
        self._devices = [
            Device(
                name,
                models=models,
                limits=limits,
                line=self,
                now=time.perf_counter,  # the demo turns the loop's clock, not this one
            )
            for name in devices
        ]

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        backend: BackendSpec,
        *,
        more: Mapping[str, BackendSpec] | None = None,
        devices: Sequence[str] = ("cpu",),
        limits: ExecutorLimits | None = None,
        request_limits: Limits | None = None,
    ) -> AsyncIterator[Self]:
        """Start the workers; requests are taken at once and wait for the model to load.

        backend: the default model. more: others, by the names that requests call them; each is
        loaded when it is first asked for.

        On leaving, running jobs get their grace; then everything unfinished ends with Closing and
        the worker processes are gone.
        """
        if not devices:
            raise ValueError("an executor needs at least one device")

        limits = limits or ExecutorLimits()
        executor = cls(
            {"": backend, **(more or {})},
            devices=devices,
            limits=limits,
            request_limits=request_limits or Limits(),
        )
        keepers = [
            asyncio.create_task(device.keep(), name="device-keeper") for device in executor._devices
        ]
        try:
            yield executor
        finally:
            try:
                await executor.drain(limits.grace_s)
            finally:
                for keeper in keepers:
                    keeper.cancel()

                endings = await asyncio.gather(*keepers, return_exceptions=True)

            for ending in endings:
                if isinstance(ending, Exception):
                    raise ending  # a mistake in our own code: be loud about it

    def submit(self, request: ImageRequest, *, owner: int) -> Job:
        """Put a request in the line, or say no at once.

        Raises InvalidRequest, Closing, BackendUnavailable while no worker can load, TooManyYours
        or QueueFull. The job's request is the cleaned one.
        """
        request = checked(request, self._request_limits)
        if self._closing:
            raise Closing

        self._refuse_if_nobody_serves()
        limits = self._limits
        if (yours := self._line.owned_by(owner)) >= limits.max_waiting_per_person:
            raise TooManyYours(
                waiting=yours, running=self._running(owner), limit=limits.max_waiting_per_person
            )

        if (waiting := len(self._line)) >= limits.max_waiting:
            raise QueueFull(waiting=waiting, limit=limits.max_waiting)

        job = Job(job_id=next(self._ids), request=request, owner=owner, desk=self)
        self._line.add(job, owner=owner)
        self.device_changed()

        return job

    def status(self) -> ExecutorStatus:
        paces = [device.pace.request_s for device in self._devices]
        seconds = [request_s for request_s in paces if request_s is not None]

        return ExecutorStatus(
            waiting=len(self._line),
            running=len(self._runs()),
            workers=tuple(device.status() for device in self._devices),
            seconds_per_request=None if not seconds else sum(seconds) / len(seconds),
        )

    def stop_accepting(self) -> None:
        """From now on `submit` raises Closing; what waits and what runs goes on."""
        self._closing = True

    async def drain(self, grace_s: float) -> None:
        """Stop accepting, end waiting jobs with Closing, and give running ones `grace_s`.

        Those that still run then are asked to stop, and end with Closing at their next step, or
        at the latest when the executor is left.
        """
        self.stop_accepting()
        self._end_line(Closing)
        try:
            async with asyncio.timeout(grace_s):
                await self._nothing_runs.wait()
        except TimeoutError:
            log.info("%d jobs still ran after %g s of grace", len(self._runs()), grace_s)
        finally:
            for device in self._devices:
                device.stop(Closing())

    def cancel(self, job: Job) -> bool:
        """See Job.cancel."""
        if self._line.remove(job):
            job.break_off(Cancelled())
            self._notify_line()
            return True

        for device in self._devices:
            if device.run is not None and device.run.job is job:
                device.stop(Cancelled())
                return True

        return False

    def progress_of(self, job: Job) -> JobProgress:
        """See Job.progress."""
        for device in self._devices:
            if device.run is not None and device.run.job is job:
                return JobProgress(
                    state=JobState.RUNNING,
                    eta_s=device.free_in_s(),
                    loading=device.run.loading_since is not None,
                    step=device.run.watch.step,
                    steps=device.run.watch.steps or job.request.steps,
                    preview=device.run.preview,
                )

        if job.state is JobState.WAITING:
            order = self._line.in_order()
            place = order.index(job)
            return JobProgress(
                state=JobState.WAITING,
                position=place + 1,
                eta_s=self._finished_in_s(order)[place],
                steps=job.request.steps,
            )

        steps = job.request.steps

        return JobProgress(
            state=job.state, step=steps if job.state is JobState.DONE else 0, steps=steps
        )

    def device_changed(self) -> None:
        """For the devices: give each idle one the next job whose owner may run.

        When none can serve, nobody is left waiting.
        """
        try:
            self._refuse_if_nobody_serves()
        except BackendUnavailable as exc:
            self._end_line(partial(BackendUnavailable, exc.reason))

        while idle := [device for device in self._devices if device.state is WorkerState.IDLE]:
            if (job := self._line.take(self._may_run)) is None:
                break

            ready = [device for device in idle if device.holds(job.request.model)]
            (ready or idle)[0].start(job)

        if not self._runs():
            self._nothing_runs.set()
        else:
            self._nothing_runs.clear()

        self._notify_line()

    def take_back(self, job: Job, *, why: str) -> None:
        """For the devices: try a job once more, ahead of the line."""
        job.workers_lost += 1
        if self._closing:
            job.break_off(Closing())
        elif job.workers_lost > 1:
            job.break_off(WorkerFailed(f"two workers were lost over it; of the second: {why}"))
        else:
            job.state = JobState.WAITING
            self._line.put_first(job, owner=job.owner)
            job.notify()

    def _finished_in_s(self, order: Sequence[Job]) -> list[float | None]:
        loaded = [device for device in self._devices if device.is_loaded]

        return line_s(
            [
                Lane(
                    free_in_s=device.free_in_s(),
                    owner=None if device.run is None else device.run.job.owner,
                )
                for device in loaded
            ],
            [
                Waiting(
                    owner=job.owner,
                    takes_s=[self._whole_s(job.request, device) for device in loaded],
                )
                for job in order
            ],
            each_runs=self._limits.max_running_per_person,
        )

    def _whole_s(self, request: ImageRequest, device: Device) -> float | None:
        """As this device is known, or while it has finished nothing, as another is."""
        foretold = [other.whole_s(request) for other in (device, *self._devices)]

        return next((seconds for seconds in foretold if seconds is not None), None)

    def _end_line(self, new_error: Callable[[], GenerationError]) -> None:
        while (job := self._line.take()) is not None:
            job.break_off(new_error())  # one each: an error that is raised collects tracebacks

    def _refuse_if_nobody_serves(self) -> None:
        if all(device.state is WorkerState.FAILED for device in self._devices):
            raise BackendUnavailable(self._devices[0].last_error or "no worker is kept")

    def _may_run(self, owner: int) -> bool:
        return self._running(owner) < self._limits.max_running_per_person

    def _running(self, owner: int) -> int:
        return sum(1 for run in self._runs() if run.job.owner == owner)

    def _runs(self) -> list[Run]:
        return [device.run for device in self._devices if device.run is not None]

    def _notify_line(self) -> None:
        for job in self._line.in_order():
            job.notify()

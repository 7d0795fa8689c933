"""A bounded, fair queue of requests, served by workers here and on other hosts."""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Self

from generation.cluster.cluster import Cluster
from generation.cluster.settings import ClusterSettings
from generation.errors import (
    BackendUnavailable,
    Cancelled,
    Closing,
    GenerationError,
    QueueFull,
    RequestFailed,
    TooManyYours,
)
from generation.processes.link import StartWorker
from generation.processes.worker_process import WorkerProcess
from generation.queue.estimates import first_known
from generation.queue.fair_queue import FairQueue
from generation.queue.job import Job, JobProgress, JobState
from generation.queue.limits import ExecutorLimits
from generation.queue.status import ExecutorStatus
from generation.queue.supervisor import WorkerSupervisor
from generation.queue.waiting_times import queue_finished_in_s, waits
from generation.request import ImageRequest
from generation.worker.specs import BackendSpec

log = logging.getLogger(__name__)


class Executor:
    """Makes images in worker processes, for many people, fairly.

    People take turns: round robin between them, in order within one person's requests. Every job
    ends with a result or an error. A worker that dies or hangs is replaced, and its job gets a
    second attempt, ahead of the queue. Jobs do not survive this process.
    """

    def __init__(
        self,
        workers: Sequence[tuple[str, StartWorker]],
        *,
        cluster: Cluster | None,
        limits: ExecutorLimits,
    ) -> None:
        self._cluster = cluster
        self._limits = limits
        self._queue: FairQueue[Job] = FairQueue()
        self._ids = itertools.count(1)
        self._closing = False
        self._none_running = asyncio.Event()
        self._none_running.set()
        self._workers = [
            WorkerSupervisor(
                name, start_worker, limits=limits, changed=self._dispatch, job_lost=self._retry
            )
            for name, start_worker in workers
        ]

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        models: Mapping[str, BackendSpec],
        *,
        devices: Sequence[str] = ("cpu",),
        cluster: ClusterSettings | None = None,
        limits: ExecutorLimits | None = None,
    ) -> AsyncIterator[Self]:
        """Start the workers. Requests are accepted at once, and wait for the model to load.

        models: what to open for each name that a request may have. The first is the default and
        is loaded at once; each of the others is loaded when it is first asked for.
        devices: of this host, with one worker each. cluster: whose hosts have workers too.

        On leaving, running jobs may continue for `limits.grace_s`. Then all unfinished jobs end
        with Closing, and the worker processes are gone.
        """
        if not devices and cluster is None:
            raise ValueError("an executor needs at least one device, or a cluster")

        if not models:
            raise ValueError("an executor needs at least one model")

        limits = limits or ExecutorLimits()
        workers: list[tuple[str, StartWorker]] = [
            (device, partial(WorkerProcess, models, device=device)) for device in devices
        ]
        hosts = None
        if cluster is not None:
            hosts = Cluster(cluster, models)
            workers += [(f"ray:{number}", hosts.worker) for number in range(cluster.workers)]

        executor = cls(workers, cluster=hosts, limits=limits)
        keepers = [worker.run() for worker in executor._workers]
        if hosts is not None:
            keepers.append(hosts.run())

        tasks = [asyncio.create_task(keeper, name="worker-keeper") for keeper in keepers]
        try:
            yield executor
        finally:
            try:
                await executor.drain(limits.grace_s)
            finally:
                for task in tasks:
                    task.cancel()

                endings = await asyncio.gather(*tasks, return_exceptions=True)

            for ending in endings:
                if isinstance(ending, Exception):
                    raise ending  # a bug in a keeper

    def submit(
        self,
        request: ImageRequest,
        *,
        owner: int,
        group: int | None = None,
        parent: bytes | None = None,
        accepted_before: bool = False,
    ) -> Job:
        """Put a request in the queue, or refuse it at once.

        parent: the PNG file that the request varies, if it does.
        owner, group: who asks, and in which server.
        accepted_before: before a restart, so the limits of the queue do not count.
        Raises Closing, BackendUnavailable if no worker can load, TooManyYours or QueueFull.
        """
        if self._closing:
            raise Closing

        self._check_available()
        if not accepted_before:
            self._check_room(owner, group)

        job = Job(
            job_id=next(self._ids),
            request=request,
            parent=parent,
            owner=owner,
            group=group,
            progress_of=self._progress_of,
            cancel=self._cancel,
        )
        self._queue.add(job, owner=owner)
        self._dispatch()

        return job

    def status(self) -> ExecutorStatus:
        latest = [worker.estimates.latest_s for worker in self._workers]
        known = [seconds for seconds in latest if seconds is not None]

        return ExecutorStatus(
            waiting=len(self._queue),
            running=len(self._running()),
            workers=tuple(worker.status() for worker in self._workers),
            cluster_problem="" if self._cluster is None else self._cluster.problem,
            seconds_per_request=sum(known) / len(known) if known else None,
        )

    def stop_accepting(self) -> None:
        """From now on `submit` raises Closing. Waiting and running jobs continue."""
        self._closing = True

    async def drain(self, grace_s: float) -> None:
        """Stop accepting, end waiting jobs with Closing, and give running ones `grace_s` seconds.

        Jobs that still run then are asked to stop. They end with Closing after their current
        step, at the latest when the executor is closed.
        """
        self.stop_accepting()
        self._fail_waiting(Closing)
        try:
            async with asyncio.timeout(grace_s):
                await self._none_running.wait()
        except TimeoutError:
            log.info(
                "%d jobs were still running after %g s of grace", len(self._running()), grace_s
            )
        finally:
            for worker in self._workers:
                worker.stop(Closing())

    def _cancel(self, job: Job) -> bool:
        if self._queue.remove(job):
            job.fail(Cancelled())
            self._notify_waiting()
            return True

        for worker in self._workers:
            if worker.attempt is not None and worker.attempt.job is job:
                worker.stop(Cancelled())
                return True

        return False

    def _progress_of(self, job: Job) -> JobProgress:
        for worker in self._workers:
            if worker.attempt is not None and worker.attempt.job is job:
                return worker.attempt.progress(eta_s=worker.free_in_s(self._workers))

        steps = job.request.steps_made
        if job.state is JobState.WAITING:
            queue = self._queue.in_order()
            index = queue.index(job)
            finished_in_s = queue_finished_in_s(
                queue, self._workers, per_person=self._limits.max_running_per_person
            )
            return JobProgress(
                state=JobState.WAITING,
                position=index + 1,
                eta_s=finished_in_s[index],
                steps=steps,
            )

        return JobProgress(
            state=job.state, step=steps if job.state is JobState.DONE else 0, steps=steps
        )

    def _dispatch(self) -> None:
        """Give each idle worker the next job whose owner may run. If no worker can load, fail all.

        Called whenever a job was added or a worker changed.
        """
        try:
            self._check_available()
        except BackendUnavailable as exc:
            self._fail_waiting(partial(BackendUnavailable, exc.reason))

        while idle := [worker for worker in self._workers if worker.is_idle]:
            ahead: Counter[str] = Counter()
            if (job := self._queue.take(self._may_run, partial(self._starts, idle, ahead))) is None:
                break

            ready = [worker for worker in idle if worker.holds(job.request.model)]
            (ready or [min(idle, key=self._wanted_here)])[0].start(job)

        if self._running():
            self._none_running.clear()
        else:
            self._none_running.set()

        self._notify_waiting()

    def _retry(self, job: Job, why: str) -> None:
        """A worker was lost while it ran the job: put it ahead of the queue, once."""
        job.workers_lost += 1
        if self._closing:
            job.fail(Closing())
        elif job.workers_lost > 1:
            job.fail(RequestFailed(f"two workers were lost, the second because {why}"))
        else:
            self._queue.put_first(job, owner=job.owner)
            job.enter(JobState.WAITING)

    def _starts(self, idle: Sequence[WorkerSupervisor], ahead: Counter[str], job: Job) -> bool:
        """Whether the job starts on one of the idle workers: not if it would have to be loaded
        there for longer than it waits for a busy worker that holds its model.

        ahead: how many jobs for each model were found to wait so, and go before this one.
        """
        model = job.request.model
        if any(worker.holds(model) for worker in idle):
            return True

        holders = [worker for worker in self._workers if worker.holds(model)]
        load_s = first_known(worker.load_s(model) for worker in self._workers)
        run_s = first_known(worker.estimates.total_s(job.request) for worker in holders)
        free_in_s = [worker.free_in_s(self._workers) for worker in holders]
        free_s = min((seconds for seconds in free_in_s if seconds is not None), default=None)
        if not waits(free_s, run_s, load_s, ahead=ahead[model], holders=len(holders)):
            return True

        ahead[model] += 1

        return False

    def _wanted_here(self, worker: WorkerSupervisor) -> int:
        """How many waiting jobs need no loading there: models that many wait for stay loaded."""
        return sum(1 for job in self._queue.in_order() if worker.holds(job.request.model))

    def _fail_waiting(self, new_error: Callable[[], GenerationError]) -> None:
        while (job := self._queue.take()) is not None:
            job.fail(new_error())  # an error for each job: raising one adds to its traceback

    def _check_room(self, owner: int, group: int | None) -> None:
        limits, waiting = self._limits, len(self._queue)
        # The second half of the places is for people who have nothing waiting.
        crowded = 2 * waiting >= limits.max_waiting
        limit = 1 if crowded else limits.max_waiting_per_person
        if (yours := self._queue.owned_by(owner)) >= limit:
            raise TooManyYours(
                waiting=yours, running=self._running_of(owner), limit=limit, crowded=crowded
            )

        if waiting >= limits.max_waiting:
            raise QueueFull(waiting=waiting, limit=limits.max_waiting)

        share = max(1, limits.max_waiting // limits.groups)
        theirs = sum(1 for job in self._queue.in_order() if job.group == group)
        if theirs >= share:
            raise QueueFull(waiting=theirs, limit=share)

    def _check_available(self) -> None:
        if all(worker.has_failed for worker in self._workers):
            raise BackendUnavailable(self._workers[0].last_error or "No worker is running.")

    def _may_run(self, owner: int) -> bool:
        return self._running_of(owner) < self._limits.max_running_per_person

    def _running_of(self, owner: int) -> int:
        return sum(1 for job in self._running() if job.owner == owner)

    def _running(self) -> list[Job]:
        return [worker.attempt.job for worker in self._workers if worker.attempt is not None]

    def _notify_waiting(self) -> None:
        for job in self._queue.in_order():
            job.notify()

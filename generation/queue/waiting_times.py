"""Estimates when each job in the queue is finished, by simulating who is served when."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from generation.queue.job import Job
from generation.queue.supervisor import WorkerSupervisor
from generation.request import ImageRequest


def queue_finished_in_s(
    queue: Sequence[Job], workers: Sequence[WorkerSupervisor], *, per_person: int
) -> list[float | None]:
    """Estimated seconds until each job of the queue is finished; None while unknown."""
    loaded = [worker for worker in workers if worker.is_loaded]

    return finished_in_s(
        [
            WorkerLoad(
                free_in_s=worker.free_in_s(),
                owner=None if worker.attempt is None else worker.attempt.job.owner,
            )
            for worker in loaded
        ],
        [
            WaitingJob(
                owner=job.owner,
                takes_s=[_takes_s(job.request, worker, workers) for worker in loaded],
            )
            for job in queue
        ],
        per_person=per_person,
    )


def _takes_s(
    request: ImageRequest, worker: WorkerSupervisor, workers: Sequence[WorkerSupervisor]
) -> float | None:
    """The worker's own estimate, or that of a different worker until it has one."""
    estimates = [other.total_s(request) for other in (worker, *workers)]

    return next((seconds for seconds in estimates if seconds is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """Seconds until a worker is free, None while unknown, and the owner of its current job."""

    free_in_s: float | None
    owner: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJob:
    """The owner of a job, and the seconds that it takes on each worker; None where unknown."""

    owner: int
    takes_s: Sequence[float | None]


def finished_in_s(
    workers: Sequence[WorkerLoad], queue: Sequence[WaitingJob], *, per_person: int
) -> list[float | None]:
    """Seconds until each job of the queue is finished, if no job is added and none fails; pure.

    Whichever worker is free takes the first job whose owner has fewer than `per_person` running.
    None for every job from the first unknown time on.
    """
    finished: list[float | None] = [None] * len(queue)
    busy = [(load.free_in_s, n) for n, load in enumerate(workers) if load.free_in_s is not None]
    if len(busy) < len(workers):
        return finished

    heapq.heapify(busy)
    owners = [load.owner for load in workers]
    waiting = list(range(len(queue)))
    idle: list[int] = []
    now_s = 0.0
    while waiting:
        job = next((n for n in waiting if owners.count(queue[n].owner) < per_person), None)
        if job is not None and idle:
            worker = idle.pop(0)
            takes_s = queue[job].takes_s[worker]
            if takes_s is None:
                break

            finished[job] = now_s + takes_s
            heapq.heappush(busy, (now_s + takes_s, worker))
            owners[worker] = queue[job].owner
            waiting.remove(job)
        elif busy:
            now_s, worker = heapq.heappop(busy)
            owners[worker] = None
            idle.append(worker)
        else:
            break

    return finished

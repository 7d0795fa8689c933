"""Estimates when each job in the queue is finished, by simulating who is served when and where."""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from generation.queue.estimates import first_known
from generation.queue.job import Job
from generation.queue.supervisor import WorkerSupervisor


def queue_finished_in_s(
    queue: Sequence[Job], workers: Sequence[WorkerSupervisor], *, per_person: int
) -> list[float | None]:
    """Estimated seconds until each job of the queue is finished; None while unknown."""
    loaded = [worker for worker in workers if worker.is_loaded]

    return finished_in_s(
        [_load_of(worker, workers) for worker in loaded],
        [
            WaitingJob(
                owner=job.owner,
                model=job.request.model,
                load_s=first_known(worker.load_s(job.request.model) for worker in workers),
                runs_s=[
                    # The worker's own estimate, or that of a different worker until it has one.
                    first_known(
                        other.estimates.total_s(job.request) for other in (worker, *workers)
                    )
                    for worker in loaded
                ],
            )
            for job in queue
        ],
        per_person=per_person,
    )


def _load_of(worker: WorkerSupervisor, workers: Sequence[WorkerSupervisor]) -> "WorkerLoad":
    job = None if worker.attempt is None else worker.attempt.job

    return WorkerLoad(
        free_in_s=worker.free_in_s(workers),
        owner=None if job is None else job.owner,
        models=worker.models,
        running=None if job is None else job.request.model,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """Seconds until a worker is free, None while unknown; the owner and the model of its current
    job, and the models that it holds."""

    free_in_s: float | None
    owner: int | None
    models: Set[str]
    running: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJob:
    """A job, the seconds that it takes on each worker, and how long its model takes to load where
    it is not held; None where unknown."""

    owner: int
    model: str
    load_s: float | None
    runs_s: Sequence[float | None]


def finished_in_s(
    workers: Sequence[WorkerLoad], queue: Sequence[WaitingJob], *, per_person: int
) -> list[float | None]:
    """Seconds until each job of the queue is finished, if no job is added and none fails; pure.

    A worker that is free takes the first job whose owner has fewer than `per_person` running and
    that does not wait for a worker that holds its model. A worker is assumed to keep what it holds.
    None for every job from the first unknown time on.
    """
    finished: list[float | None] = [None] * len(queue)
    idle: list[_Worker] = []
    busy = [
        _Worker(n, load.free_in_s, load.owner, load.running, set(load.models))
        for n, load in enumerate(workers)
        if load.free_in_s is not None
    ]
    if len(busy) < len(workers):
        return finished

    waiting = list(range(len(queue)))
    while waiting and busy:
        now_s = min(worker.free_at_s for worker in busy)
        for worker in [worker for worker in busy if worker.free_at_s == now_s]:
            worker.become_idle()
            busy.remove(worker)
            idle.append(worker)

        while (start := _next_start(waiting, queue, idle, busy, now_s, per_person)) is not None:
            n, worker = start
            takes_s = _takes_s(queue[n], worker)
            if takes_s is None:
                return finished

            finished[n] = worker.free_at_s = now_s + takes_s
            worker.owner, worker.running = queue[n].owner, queue[n].model
            waiting.remove(n)
            idle.remove(worker)
            busy.append(worker)

    return finished


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker in the simulation; `owner` and `running` are of its current job."""

    number: int
    free_at_s: float
    owner: int | None
    running: str | None
    models: set[str]

    def become_idle(self) -> None:
        if self.running is not None:
            self.models.add(self.running)

        self.owner = self.running = None


def _next_start(
    waiting: Sequence[int],
    queue: Sequence[WaitingJob],
    idle: Sequence[_Worker],
    busy: Sequence[_Worker],
    now_s: float,
    per_person: int,
) -> tuple[int, _Worker] | None:
    """The number of the job that begins now, and on which of the idle workers; None for none."""
    if not idle:
        return None

    running = Counter(worker.owner for worker in busy)
    ahead: Counter[str] = Counter()
    passed: set[int] = set()  # owners whose first job does not start: they keep their turn
    for n in waiting:
        job = queue[n]
        if job.owner in passed or running[job.owner] >= per_person:
            continue

        passed.add(job.owner)
        for worker in idle:
            if job.model in worker.models:
                return n, worker

        holders = [worker for worker in busy if job.model in worker.models]
        free_s = min((worker.free_at_s - now_s for worker in holders), default=None)
        run_s = first_known(job.runs_s[worker.number] for worker in holders)
        if waits(free_s, run_s, job.load_s, ahead=ahead[job.model], holders=len(holders)):
            ahead[job.model] += 1
        else:
            wanted = Counter(queue[other].model for other in waiting)
            return n, min(idle, key=lambda worker: sum(wanted[model] for model in worker.models))

    return None


def _takes_s(job: WaitingJob, worker: _Worker) -> float | None:
    load_s = 0.0 if job.model in worker.models else job.load_s
    run_s = job.runs_s[worker.number]

    return None if load_s is None or run_s is None else load_s + run_s


def waits(
    free_s: float | None, run_s: float | None, load_s: float | None, *, ahead: int, holders: int
) -> bool:
    """Whether a job waits for a busy worker that holds its model, because that is sooner than
    loading it on an idle one. Not if something is unknown.

    free_s: until the first of these workers is free, `holders` in number. run_s: how long the job
    takes. load_s: how long loading does. ahead: how many jobs that go before it wait so.
    """
    if free_s is None or run_s is None or load_s is None:
        return False

    return free_s + run_s * ahead / holders <= load_s

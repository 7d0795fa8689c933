"""Whatever happens at the same time, every job ends, and with the right outcome."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

from generation.errors import (
    BackendUnavailable,
    GenerationError,
    QueueFull,
    TooManyYours,
)
from generation.queue.executor import Executor
from generation.queue.job import Job
from generation.queue.limits import ExecutorLimits
from generation.queue.status import WorkerState
from generation.request import Result
from tests.support.generation.requests import a_request, worker_when
from tests.support.generation.scripted_backend import one_model

LIMITS = ExecutorLimits(
    max_waiting=30, max_waiting_per_person=6, max_running_per_person=1, retry_s=0.01, grace_s=0
)
PEOPLE = range(8)


async def test_kills_cancellations_and_failures_at_once_leave_no_job_open(
    tmp_path: Path,
) -> None:
    dice = random.Random(2)
    jobs: list[Job] = []
    cancelled: set[int] = set()
    async with Executor.open(one_model(tmp_path), devices=("a", "b"), limits=LIMITS) as executor:
        await worker_when(
            executor, WorkerState.IDLE
        )  # a start may take longer than the rest of the test
        for number in range(120):
            with suppress(QueueFull, TooManyYours, BackendUnavailable):
                prompt = dice.choice(["step", "step", "step", "raise", "die", "until go"])
                request = a_request(prompt, seeds=(number,), steps=dice.randint(1, 100))
                jobs.append(executor.submit(request, owner=dice.choice(PEOPLE)))

            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await dice.choice(jobs).wait_change()

            owners = [job.owner for job in jobs if job.state == "running"]
            assert len(owners) == len(set(owners))

            job = dice.choice(jobs)
            if dice.random() < 0.15 and job.cancel():
                cancelled.add(job.id)
            if dice.random() < 0.05 and (pid := dice.choice(executor.status().workers).pid):
                with suppress(ProcessLookupError):  # it has just died without our help
                    os.kill(pid, signal.SIGKILL)
            if number == 90:
                (tmp_path / "go").touch()

    answers = await asyncio.gather(*(job.result() for job in jobs), return_exceptions=True)
    for job, answer in zip(jobs, answers, strict=True):
        assert isinstance(answer, Result | GenerationError), answer
        assert isinstance(answer, Result) <= (job.id not in cancelled)
        if isinstance(answer, Result):
            assert job.request.prompt in {"step", "until go"}
            assert [image.seed for image in answer.images] == list(job.request.seeds)

    assert any(isinstance(answer, Result) for answer in answers)

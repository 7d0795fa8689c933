"""Workers die, hang and fail to load; every job ends with images or a reason."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from generation.errors import BackendUnavailable, Cancelled, DeadlineExceeded, RequestFailed
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from generation.queue.status import WorkerState
from tests.support.generation.requests import (
    a_request,
    pid_of,
    progress_when,
    stepping,
    worker_when,
)
from tests.support.generation.scripted_backend import one_model

ALICE, BOB = 1, 2
QUICK = ExecutorLimits(retry_s=0.01, grace_s=0)
IMPATIENT = ExecutorLimits(retry_s=0.01, grace_s=0, silence_s=3)


async def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path), limits=QUICK) as executor:
        killed = await worker_when(executor, WorkerState.IDLE)
        assert killed.pid is not None

        os.kill(killed.pid, signal.SIGKILL)
        await worker_when(executor, WorkerState.RESTARTING)
        await executor.submit(a_request(), owner=ALICE).result()

        status = executor.status().workers[0]
        assert status.pid != killed.pid
        assert status.restarts == 1
        assert status.last_error is not None
        assert "SIGKILL" in status.last_error


async def test_a_request_whose_worker_dies_is_tried_again(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path), limits=QUICK) as executor:
        result = await executor.submit(a_request("die-once"), owner=ALICE).result()

        assert len(result.images) == 4


async def test_a_request_that_is_tried_again_goes_ahead_of_the_queue(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path), limits=QUICK) as executor:
        job = executor.submit(a_request("until go"), owner=ALICE)
        await stepping(job)
        behind = executor.submit(a_request(), owner=BOB)

        os.kill(pid_of(executor), signal.SIGKILL)
        await progress_when(job, lambda progress: progress.position == 1)

        assert behind.progress.position == 2
        (tmp_path / "go").touch()
        await job.result()
        await behind.result()


async def test_a_request_that_loses_two_workers_fails_and_the_next_is_served(
    tmp_path: Path,
) -> None:
    async with Executor.open(one_model(tmp_path), limits=QUICK) as executor:
        job = executor.submit(a_request("die"), owner=ALICE)

        with pytest.raises(RequestFailed, match=r"two workers were lost, .* SIGKILL"):
            await job.result()

        await executor.submit(a_request(), owner=BOB).result()
        assert (tmp_path / "log").read_text(encoding="utf-8").split() == ["die", "die", "step"]


@pytest.mark.parametrize("prompt", ["hang", "seize"])
async def test_a_worker_that_goes_silent_is_killed_and_its_request_tried_again(
    tmp_path: Path, prompt: str
) -> None:
    async with Executor.open(one_model(tmp_path), limits=IMPATIENT) as executor:
        job = executor.submit(a_request(prompt), owner=ALICE)

        with pytest.raises(RequestFailed, match=r"two workers were lost, .* sent nothing for 3 s"):
            await job.result()

        await executor.submit(a_request(), owner=BOB).result()
        assert executor.status().workers[0].restarts == 2


async def test_a_worker_that_reports_while_it_works_between_two_requests_is_not_silent(
    tmp_path: Path,
) -> None:
    limits = ExecutorLimits(retry_s=0.01, grace_s=0, silence_s=1)
    async with Executor.open(one_model(tmp_path), limits=limits) as executor:
        await executor.submit(a_request(), owner=ALICE).result()
        (tmp_path / "busy").write_text("2.5")
        while executor.status().workers[0].serving != "busy":  # noqa: ASYNC110 - not announced
            await asyncio.sleep(0.01)

        await executor.submit(a_request(), owner=ALICE).result()

        assert not (tmp_path / "busy").exists()
        assert executor.status().workers[0].restarts == 0


async def test_a_worker_without_work_may_be_silent(tmp_path: Path) -> None:
    limits = ExecutorLimits(retry_s=0.01, grace_s=0, silence_s=2)
    async with Executor.open(one_model(tmp_path), devices=("a",), limits=limits) as executor:
        await executor.submit(a_request(), owner=ALICE).result()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await worker_when(executor, WorkerState.RESTARTING)


async def test_a_cancelled_request_ends_even_if_its_worker_hangs(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path), limits=IMPATIENT) as executor:
        job = executor.submit(a_request("seize"), owner=ALICE)
        await stepping(job)
        job.cancel()

        with pytest.raises(Cancelled):
            await job.result()

        assert (tmp_path / "log").read_text(encoding="utf-8").split() == ["seize"]


async def test_a_request_that_runs_too_long_is_stopped_and_the_worker_stays(
    tmp_path: Path,
) -> None:
    limits = ExecutorLimits(deadline_s=0.2, grace_s=0)
    async with Executor.open(one_model(tmp_path), limits=limits) as executor:
        job = executor.submit(a_request("until never"), owner=ALICE)

        with pytest.raises(DeadlineExceeded) as late:
            await job.result()

        assert late.value.seconds == 0.2
        await executor.submit(a_request(), owner=ALICE).result()
        assert executor.status().workers[0].restarts == 0


async def test_both_tries_together_have_one_deadline(tmp_path: Path) -> None:
    limits = ExecutorLimits(deadline_s=2.0, silence_s=1.5, retry_s=0.01, grace_s=0)
    async with Executor.open(one_model(tmp_path), limits=limits) as executor:
        job = executor.submit(a_request("hang"), owner=ALICE)

        with pytest.raises(DeadlineExceeded):
            await job.result()


@pytest.mark.parametrize(
    ("load", "load_s", "reason"),
    [
        ("refuse", 60, "The script says that there is no model."),
        ("raise", 60, "ZeroDivisionError: by the script"),
        ("die", 60, "killed by SIGKILL"),
        ("hang", 2, "sent nothing for 2 s"),
    ],
)
async def test_when_no_worker_can_load_nobody_is_left_waiting(
    tmp_path: Path, load: str, load_s: float, reason: str
) -> None:
    limits = ExecutorLimits(load_s=load_s, retry_s=1, grace_s=0)
    async with Executor.open(one_model(tmp_path, load=load), limits=limits) as executor:
        waiting = executor.submit(a_request(), owner=ALICE)

        with pytest.raises(BackendUnavailable, match=reason):
            await waiting.result()
        with pytest.raises(BackendUnavailable, match=reason):
            executor.submit(a_request(), owner=ALICE)

        assert executor.status().workers[0].state is WorkerState.FAILED


async def test_a_worker_that_is_killed_once_while_it_loads_refuses_nobody(tmp_path: Path) -> None:
    limits = ExecutorLimits(retry_s=0.01, grace_s=0)
    async with Executor.open(one_model(tmp_path, load="die once"), limits=limits) as executor:
        await executor.submit(a_request(), owner=ALICE).result()

        assert (tmp_path / "died").exists()


async def test_loading_is_tried_again_until_it_succeeds(tmp_path: Path) -> None:
    limits = ExecutorLimits(retry_s=0.01, grace_s=0)
    async with Executor.open(one_model(tmp_path, load="after repair"), limits=limits) as executor:
        await worker_when(executor, WorkerState.FAILED)

        (tmp_path / "repair").touch()
        await worker_when(executor, WorkerState.IDLE)

        await executor.submit(a_request(), owner=ALICE).result()

"""However an executor ends, every job ends and no process is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from generation.errors import Closing
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from generation.queue.status import WorkerState
from tests.support.generation.requests import a_request, pid_of, stepping, worker_when
from tests.support.generation.scripted_backend import one_model

ALICE, BOB = 1, 2
ROOT = Path(__file__).parent.parent


def workers_of(pid: int) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]


async def test_a_running_request_gets_its_grace(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path), limits=ExecutorLimits(grace_s=30)) as executor:
        job = executor.submit(a_request("until go"), owner=ALICE)
        await stepping(job)
        (tmp_path / "go").touch()

    assert len((await job.result()).images) == 4


@pytest.mark.parametrize("prompt", ["until never", "seize"])
async def test_what_is_unfinished_after_the_grace_ends_with_closing(
    tmp_path: Path, prompt: str
) -> None:
    async with Executor.open(one_model(tmp_path), limits=ExecutorLimits(grace_s=0.05)) as executor:
        running = executor.submit(a_request(prompt), owner=ALICE)
        await stepping(running)
        waiting = executor.submit(a_request(), owner=BOB)

    for job in (running, waiting):
        with pytest.raises(Closing):
            await job.result()
    assert workers_of(os.getpid()) == []


async def test_a_request_whose_worker_dies_during_the_grace_is_not_tried_again(
    tmp_path: Path,
) -> None:
    async with Executor.open(one_model(tmp_path), limits=ExecutorLimits(grace_s=30)) as executor:
        job = executor.submit(a_request("until never"), owner=ALICE)
        await stepping(job)
        executor.stop_accepting()
        os.kill(pid_of(executor), signal.SIGKILL)

    with pytest.raises(Closing):
        await job.result()
    assert (tmp_path / "log").read_text(encoding="utf-8") == "until never\n"


async def test_nothing_is_accepted_while_closing(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path), limits=ExecutorLimits(grace_s=0)) as executor:
        before = executor.submit(a_request(), owner=ALICE)
        executor.stop_accepting()

        with pytest.raises(Closing):
            executor.submit(a_request(), owner=ALICE)

        await before.result()


async def test_draining_ends_all_jobs_and_may_be_repeated(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path)) as executor:
        running = executor.submit(a_request("until never"), owner=ALICE)
        await stepping(running)
        waiting = executor.submit(a_request(), owner=BOB)

        await executor.drain(0)
        await executor.drain(0)

        for job in (running, waiting):
            with pytest.raises(Closing):
                await job.result()


async def test_an_executor_can_be_closed_before_its_worker_has_started(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path)) as executor:
        job = executor.submit(a_request(), owner=ALICE)

    with pytest.raises(Closing):
        await job.result()
    assert workers_of(os.getpid()) == []


async def test_an_error_in_the_body_comes_out_as_it_is_and_leaves_no_process(
    tmp_path: Path,
) -> None:
    async def fail_inside() -> None:
        async with Executor.open(one_model(tmp_path)) as executor:
            await worker_when(executor, WorkerState.IDLE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_inside()

    assert workers_of(os.getpid()) == []


async def test_a_worker_leaves_the_terminals_signals_to_its_parent(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path), limits=ExecutorLimits(grace_s=0)) as executor:
        pid = (await worker_when(executor, WorkerState.IDLE)).pid
        assert pid is not None

        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        await executor.submit(a_request(), owner=ALICE).result()

        status = executor.status().workers[0]
        assert (status.pid, status.restarts) == (pid, 0)


@pytest.mark.parametrize("prompt", ["until never", "seize"])
def test_no_worker_outlives_a_parent_that_was_killed(tmp_path: Path, prompt: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.generation.parent", str(tmp_path), prompt],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        left_behind = psutil.Process(parent.pid).children(recursive=True)
        assert worker in left_behind

        parent.kill()

    _, alive = psutil.wait_procs(left_behind, timeout=60)
    assert alive == []

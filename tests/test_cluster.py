"""Workers on other hosts: hosts come and go, and every request is made once, or says why not."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from generation.cluster import host
from generation.errors import RequestFailed
from generation.queue.executor import Executor
from generation.queue.job import Job, JobState
from generation.queue.limits import ExecutorLimits
from generation.queue.status import WorkerState
from generation.worker.messages import Finished, Generate, Ready, StepDone
from generation.worker.specs import BackendSpec, DiffusersSpec
from tests.support.generation.inline_worker import InlineWorker, inline_workers
from tests.support.generation.loopback_cluster import (
    TWO_WORKERS,
    LoopbackCluster,
    loopback_cluster,
)
from tests.support.generation.requests import MODEL, a_request, stepping
from tests.support.generation.scripted_backend import scripted

QUICK = ExecutorLimits(retry_s=0.01, grace_s=0)


@pytest.fixture
def hosts() -> Iterator[LoopbackCluster]:
    with loopback_cluster() as hosts:
        yield hosts


def models(folder: Path) -> dict[str, BackendSpec]:
    """One model, for which this process has room in as many workers as a test starts."""
    return {MODEL: scripted(folder, room=99, claim=99)}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Executor]:
    async with Executor.open(
        models(folder), devices=(), cluster=TWO_WORKERS, limits=QUICK
    ) as executor:
        yield executor


def states(executor: Executor) -> list[tuple[WorkerState, str | None]]:
    return sorted(((worker.state, worker.host) for worker in executor.status().workers), key=str)


async def running_on(executor: Executor, host: str, job: Job) -> None:
    """Wait until the job runs there, which must be the only host."""
    await stepping(job)
    assert {worker.host for worker in executor.status().workers} <= {host, None}


async def test_requests_wait_for_a_cluster_that_is_away(
    tmp_path: Path, hosts: LoopbackCluster
) -> None:
    hosts.away = "nobody answers there"
    async with serving(tmp_path) as executor:
        job = executor.submit(a_request(), owner=1)
        while hosts.drivers < 3:  # noqa: ASYNC110 - nothing announces a try
            await asyncio.sleep(0)

        assert job.state is JobState.WAITING
        status = executor.status()
        assert status.cluster_problem.endswith("10.0.0.1:6379 cannot be used: nobody answers there")
        assert {worker.state for worker in status.workers} == {WorkerState.WAITING}
        assert status.workers[0].last_error == status.cluster_problem

        hosts.away = ""
        hosts.add("a")
        await job.result()
        assert executor.status().cluster_problem == ""


async def test_a_new_host_is_used_without_a_restart(tmp_path: Path, hosts: LoopbackCluster) -> None:
    hosts.add("a")
    async with serving(tmp_path) as executor:
        first = executor.submit(a_request("until go"), owner=1)
        await running_on(executor, "a", first)
        second = executor.submit(a_request(), owner=2)
        assert states(executor) == [(WorkerState.BUSY, "a"), (WorkerState.WAITING, None)]

        hosts.add("b")
        await second.result()

        assert states(executor) == [(WorkerState.BUSY, "a"), (WorkerState.IDLE, "b")]
        (tmp_path / "go").touch()
        await first.result()


async def test_a_lost_hosts_request_is_made_elsewhere_and_not_by_its_other_worker(
    tmp_path: Path, hosts: LoopbackCluster
) -> None:
    hosts.add("a", gpus=2)
    async with serving(tmp_path) as executor:
        job = executor.submit(a_request("until go"), owner=1)
        await running_on(executor, "a", job)
        both = [(WorkerState.BUSY, "a"), (WorkerState.IDLE, "a")]
        while states(executor) != both:  # noqa: ASYNC110 - as in worker_when
            await asyncio.sleep(0)

        hosts.lose("a")
        await job.wait_change()
        assert job.state is JobState.WAITING
        hosts.add("b")
        await running_on(executor, "b", job)

        (tmp_path / "go").touch()
        await job.result()
        assert job.workers_lost == 1


async def test_workers_here_and_on_a_cluster_serve_one_queue(
    tmp_path: Path, hosts: LoopbackCluster
) -> None:
    cluster = replace(TWO_WORKERS, workers=1)
    with inline_workers():
        async with Executor.open(
            models(tmp_path), devices=("cuda:0",), cluster=cluster, limits=QUICK
        ) as executor:
            first = executor.submit(a_request("until go"), owner=1)
            second = executor.submit(a_request("until lost"), owner=2)
            await stepping(first)
            hosts.add("a")
            await stepping(second)
            assert states(executor) == [(WorkerState.BUSY, "a"), (WorkerState.BUSY, None)]

            hosts.lose("a")
            (tmp_path / "lost").touch()
            (tmp_path / "go").touch()
            await asyncio.gather(first.result(), second.result())
            assert second.workers_lost == 1


async def test_a_request_that_loses_two_hosts_fails(tmp_path: Path, hosts: LoopbackCluster) -> None:
    hosts.add("a")
    async with serving(tmp_path) as executor:
        job = executor.submit(a_request("until go"), owner=1)
        await running_on(executor, "a", job)
        hosts.lose("a")
        hosts.add("b")
        await job.wait_change()
        await running_on(executor, "b", job)
        hosts.lose("b")

        with pytest.raises(RequestFailed, match=r"two workers were lost, .* its host is gone"):
            await job.result()


async def test_a_cluster_that_goes_away_loses_its_workers_and_is_taken_again(
    tmp_path: Path, hosts: LoopbackCluster
) -> None:
    hosts.add("a")
    async with serving(tmp_path) as executor:
        job = executor.submit(a_request("until go"), owner=1)
        await running_on(executor, "a", job)
        hosts.go("it no longer answers")
        await job.wait_change()
        assert job.state is JobState.WAITING

        hosts.away = ""
        hosts.add("b")
        (tmp_path / "go").touch()
        await job.result()


async def test_steps_come_together_from_a_host_and_what_people_wait_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "WorkerProcess", InlineWorker)
    # `begin` sets it; a process of pytest-xdist has none.
    monkeypatch.setattr(sys.modules["__main__"], "__file__", None, raising=False)
    a = host.Host()
    await a.begin(models(tmp_path), device="cuda", folder=PurePosixPath(tmp_path), label="a")
    assert [type(message) for message in (await a.receive()).messages] == [Ready]

    await a.send(Generate(job_id=1, request=a_request("until go")))
    began = time.monotonic()
    messages = [message for _ in range(4) for message in (await a.receive()).messages]
    assert time.monotonic() - began > 3 * host.GATHERS_FOR_S

    (tmp_path / "go").touch()
    while not isinstance(messages[-1], Finished):
        messages += (await a.receive()).messages

    steps = [message.step for message in messages if isinstance(message, StepDone)]
    assert steps == list(range(1, len(messages)))


def test_a_host_keeps_what_it_learns_of_models_in_its_own_folder(tmp_path: Path) -> None:
    spec = DiffusersSpec(preview_factors=Path("/bot/factors"), model_hashes=Path("/bot/hashes"))

    there = spec.kept_in(tmp_path)

    assert there.preview_factors == tmp_path / "factors"
    assert there.model_hashes == tmp_path / "hashes"
    assert there.compiled_folder is None


def test_ray_is_not_imported_without_a_cluster() -> None:
    script = "import sys, bot.app, bot.cli.doctor; sys.exit(int('ray' in sys.modules))"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

"""One worker serves several models: those that fit stay loaded, and nobody's request is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from generation.errors import (
    BackendUnavailable,
    Cancelled,
    DeadlineExceeded,
    OutOfMemory,
)
from generation.queue.estimates import Estimates
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from generation.queue.status import WorkerState
from generation.request import Provenance
from generation.worker.stopwatch import Stopwatch
from tests.support.generation.requests import MODEL, a_request, progress_when, worker_when
from tests.support.generation.scripted_backend import scripted

ALICE, BOB = 1, 2
NAMES = ("red", "green")


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    devices: tuple[str, ...] = ("cpu",),
    limits: ExecutorLimits | None = None,
    room: int = 9,
    claim: int = 9,
    load: str = "at once",
) -> AsyncIterator[Executor]:
    """A default, which loads at once, and two others, which load as `load` says."""
    more = {name: scripted(folder, model=name, load=load, room=room, claim=claim) for name in NAMES}
    default = scripted(folder, model="default", room=room, claim=claim)
    async with Executor.open({MODEL: default, **more}, devices=devices, limits=limits) as executor:
        yield executor


async def made_by(executor: Executor, *models: str) -> list[Provenance]:
    """What made a request for each of these models, one after the other."""
    return [
        (await executor.submit(a_request(model=model), owner=ALICE).result()).provenance
        for model in models
    ]


async def workers_idle(executor: Executor) -> None:
    while any(worker.state is not WorkerState.IDLE for worker in executor.status().workers):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # nobody announces a worker's state: people wait for jobs


def noted(folder: Path) -> list[str]:
    """Which models were loaded (+) and unloaded (-), in order."""
    return (folder / "models").read_text(encoding="utf-8").split()


async def test_each_request_is_made_by_the_model_that_it_names(tmp_path: Path) -> None:
    async with serving(tmp_path) as executor:
        made = await made_by(executor, "green", MODEL, "red", "green")

    assert [provenance.model for provenance in made] == ["green", "default", "red", "green"]


async def test_a_model_is_loaded_when_it_is_first_asked_for_and_stays(tmp_path: Path) -> None:
    async with serving(tmp_path) as executor:
        await worker_when(executor, WorkerState.IDLE)
        assert noted(tmp_path) == ["+default"]

        await made_by(executor, "red", MODEL, "red", MODEL)

        assert noted(tmp_path) == ["+default", "+red"]
        assert executor.status().workers[0].models == ("default (1)", "red (1)")


async def test_the_least_recently_requested_model_is_unloaded_for_a_new_one(tmp_path: Path) -> None:
    async with serving(tmp_path, room=2, claim=2) as executor:
        await made_by(executor, "red", MODEL, "green", MODEL)

        assert noted(tmp_path) == ["+default", "+red", "-red", "+green"]
        assert executor.status().workers[0].models == ("default (1)", "green (1)")


async def test_a_model_that_turns_out_not_to_fit_is_loaded_alone(tmp_path: Path) -> None:
    async with serving(tmp_path, room=1, claim=9) as executor:
        [made] = await made_by(executor, "red")

        assert made.model == "red"
        assert noted(tmp_path) == ["+default", "+red", "-default", "+red"]
        assert executor.status().workers[0].restarts == 0


async def test_a_model_that_does_not_fit_alone_fails_its_request_and_no_other(
    tmp_path: Path,
) -> None:
    default = scripted(tmp_path, model="default")
    huge = scripted(tmp_path, model="red", room=0)
    async with Executor.open({MODEL: default, "red": huge}) as executor:
        with pytest.raises(OutOfMemory):
            await made_by(executor, "red")

        [made] = await made_by(executor, MODEL)

        assert made.model == "default"
        assert executor.status().workers[0].restarts == 0


async def test_a_model_that_is_not_available_fails_its_request_and_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path, load="refuse") as executor:
        with pytest.raises(BackendUnavailable, match="there is no model"):
            await made_by(executor, "red")

        [made] = await made_by(executor, MODEL)

        assert made.model == "default"
        assert noted(tmp_path) == ["+default", "+red"]
        assert executor.status().workers[0].restarts == 0


async def test_a_request_that_does_not_fit_beside_other_models_has_them_unloaded(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as executor:
        await made_by(executor, "red")
        result = await executor.submit(a_request("crowded"), owner=ALICE).result()

        assert result.provenance.model == "default"
        assert noted(tmp_path)[-1] == "-red"
        assert executor.status().workers[0].models == ("default (1)",)


async def test_the_progress_shows_that_a_model_is_loading(tmp_path: Path) -> None:
    async with serving(tmp_path, load="when ready") as executor:
        job = executor.submit(a_request(model="red"), owner=ALICE)
        loading = await progress_when(job, lambda progress: progress.loading)
        assert (loading.step, loading.eta_s) == (0, None)

        (tmp_path / "ready").touch()
        await progress_when(job, lambda progress: not progress.loading)
        await job.result()


async def test_loading_is_neither_silence_nor_running_time(tmp_path: Path) -> None:
    limits = ExecutorLimits(silence_s=0.3, deadline_s=0.3, grace_s=0)
    async with serving(tmp_path, load="when ready", limits=limits) as executor:
        job = executor.submit(a_request(model="red"), owner=ALICE)
        await progress_when(job, lambda progress: progress.loading)
        await asyncio.sleep(0.6)
        assert job.progress.loading

        (tmp_path / "ready").touch()
        result = await job.result()

        assert result.seconds < 0.3
        assert executor.status().workers[0].restarts == 0


async def test_the_deadline_applies_after_loading(tmp_path: Path) -> None:
    limits = ExecutorLimits(deadline_s=0.3, grace_s=0)
    async with serving(tmp_path, limits=limits) as executor:
        job = executor.submit(a_request("until never", model="red"), owner=ALICE)

        with pytest.raises(DeadlineExceeded):
            await job.result()


async def test_a_load_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    limits = ExecutorLimits(load_s=3, retry_s=0.01, grace_s=0)
    async with serving(tmp_path, load="hang", limits=limits) as executor:
        await worker_when(executor, WorkerState.IDLE)
        job = executor.submit(a_request(model="red"), owner=ALICE)
        await progress_when(job, lambda progress: progress.position == 1)

        last_error = executor.status().workers[0].last_error
        assert last_error is not None
        assert "it sent nothing for 3 s" in last_error


async def test_cancelling_while_a_model_loads_ends_the_request_and_keeps_the_model(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, load="when ready") as executor:
        job = executor.submit(a_request(model="red"), owner=ALICE)
        await progress_when(job, lambda progress: progress.loading)
        job.cancel()
        (tmp_path / "ready").touch()

        with pytest.raises(Cancelled):
            await job.result()

        await made_by(executor, "red")
        assert noted(tmp_path) == ["+default", "+red"]


async def test_a_request_goes_to_the_worker_that_has_its_model(tmp_path: Path) -> None:
    async with serving(tmp_path, devices=("cpu:0", "cpu:1")) as executor:
        await workers_idle(executor)
        busy = executor.submit(a_request("until go"), owner=ALICE)
        [elsewhere] = [
            (await executor.submit(a_request(model="red"), owner=BOB).result()).provenance
        ]
        (tmp_path / "go").touch()
        await busy.result()
        again = await made_by(executor, "red", "red")

    assert {provenance.device for provenance in again} == {elsewhere.device}
    assert noted(tmp_path).count("+red") == 1


async def test_estimates_are_learned_for_each_model(tmp_path: Path) -> None:
    async with serving(tmp_path) as executor:
        await made_by(executor, MODEL, "red")
        busy = executor.submit(a_request("until go"), owner=BOB)
        known = executor.submit(a_request(model="red"), owner=ALICE)
        unknown = executor.submit(a_request(model="green"), owner=ALICE)
        await progress_when(busy, lambda progress: progress.step > 1)

        assert executor.status().workers[0].models == ("default (1)", "red (1)")
        assert known.progress.position == 1
        assert unknown.progress.eta_s is None  # neither loading nor making it was ever measured
        (tmp_path / "go").touch()


def test_estimates_of_one_model_are_not_used_for_another() -> None:
    estimates = Estimates()
    request = a_request(steps=2)
    watch = Stopwatch(started_at=0.0)
    watch.lap(1, 2, now=1.0)
    watch.lap(2, 2, now=2.0)
    estimates.learn(request, watch, finished_at=3.0)

    assert estimates.total_s(request) == pytest.approx(3.0)
    assert estimates.total_s(a_request(steps=2, model="red")) is None

"""How the executor treats the people who submit requests, with real worker processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from generation.errors import (
    Cancelled,
    OutOfMemory,
    QueueFull,
    RequestFailed,
    TooManyYours,
)
from generation.queue.executor import Executor
from generation.queue.job import JobState
from generation.queue.limits import ExecutorLimits
from generation.queue.status import WorkerState
from generation.request import Variation
from tests.support.generation.requests import (
    a_request,
    pid_of,
    progress_when,
    stepping,
    worker_when,
)
from tests.support.generation.scripted_backend import one_model

ALICE, BOB, CAROL = 1, 2, 3


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[Executor]:
    limits = ExecutorLimits(max_waiting=8, max_waiting_per_person=3, grace_s=0)
    async with Executor.open(one_model(tmp_path), limits=limits) as opened:
        yield opened


async def test_a_request_ends_in_one_picture_per_seed_and_what_made_them(
    executor: Executor,
) -> None:
    job = executor.submit(a_request(seeds=(5, 6)), owner=ALICE)

    result = await job.result()

    assert [(image.seed, image.png) for image in result.images] == [(5, b"5"), (6, b"6")]
    assert result.provenance.model == "script"
    assert result.seconds > 0


async def test_a_job_shows_its_place_then_its_steps_then_that_it_is_done(
    executor: Executor, tmp_path: Path
) -> None:
    first = executor.submit(a_request("until go"), owner=ALICE)
    await stepping(first)
    job = executor.submit(a_request(steps=3), owner=BOB)
    seen = [job.progress]

    (tmp_path / "go").touch()
    while not seen[-1].state.is_final:
        seen.append(await job.wait_change(since=seen[-1]))

    assert (seen[0].state, seen[0].position) == (JobState.WAITING, 1)
    assert (seen[-1].state, seen[-1].step) == (JobState.DONE, 3)
    assert [progress.step for progress in seen] == sorted(progress.step for progress in seen)


async def test_a_slow_caller_misses_no_change(executor: Executor) -> None:
    job = executor.submit(a_request(), owner=ALICE)
    before = job.progress
    await job.result()

    assert (await job.wait_change(since=before)).state is JobState.DONE
    assert (await job.wait_change()).state is JobState.DONE


async def test_the_wait_is_unknown_at_first_and_measured_later(
    executor: Executor, tmp_path: Path
) -> None:
    await worker_when(executor, WorkerState.IDLE)
    first = executor.submit(a_request("until go"), owner=ALICE)
    waiting = executor.submit(a_request(), owner=BOB)

    assert first.progress.eta_s is None
    assert waiting.progress.eta_s is None

    (tmp_path / "go").touch()
    await waiting.result()
    running = executor.submit(a_request("until stop"), owner=ALICE)
    behind = executor.submit(a_request(), owner=BOB)

    assert running.progress.eta_s is not None
    assert behind.progress.eta_s is not None
    assert behind.progress.eta_s >= running.progress.eta_s
    assert executor.status().seconds_per_request is not None


async def test_people_take_turns(executor: Executor, tmp_path: Path) -> None:
    first = executor.submit(a_request("until go"), owner=CAROL)
    await stepping(first)
    jobs = [
        executor.submit(a_request(f"step {name}"), owner=owner)
        for name, owner in (("a1", ALICE), ("a2", ALICE), ("a3", ALICE), ("b1", BOB))
    ]

    places = [job.progress.position for job in jobs]
    (tmp_path / "go").touch()
    await asyncio.gather(*(job.result() for job in jobs))

    assert places == [1, 3, 4, 2]
    made = (tmp_path / "log").read_text(encoding="utf-8").split("\n")
    assert made == ["until go", "step a1", "step b1", "step a2", "step a3", ""]


async def test_a_full_queue_refuses_with_numbers(executor: Executor) -> None:
    running = executor.submit(a_request("until never"), owner=99)
    await stepping(running)
    for owner in range(8):
        executor.submit(a_request(), owner=owner)

    with pytest.raises(QueueFull) as refused:
        executor.submit(a_request(), owner=50)

    assert (refused.value.waiting, refused.value.limit) == (8, 8)


async def test_one_person_may_not_fill_the_queue(executor: Executor) -> None:
    running = executor.submit(a_request("until never"), owner=ALICE)
    await stepping(running)
    for _ in range(3):
        executor.submit(a_request(), owner=ALICE)

    with pytest.raises(TooManyYours) as refused:
        executor.submit(a_request(), owner=ALICE)

    assert (refused.value.waiting, refused.value.running, refused.value.limit) == (3, 1, 3)
    executor.submit(a_request(), owner=BOB)


async def test_nine_people_who_ask_for_all_they_can_leave_room_for_others(
    tmp_path: Path,
) -> None:
    limits = ExecutorLimits(max_waiting=24, max_waiting_per_person=3, grace_s=0)
    async with Executor.open(one_model(tmp_path), limits=limits) as executor:
        await stepping(executor.submit(a_request("until never"), owner=99))
        for _ in range(10):
            for owner in range(9):
                with suppress(TooManyYours, QueueFull):
                    executor.submit(a_request(), owner=owner)

        newcomers = [executor.submit(a_request(), owner=owner) for owner in (10, 11, 12)]

        places = [job.progress.position for job in newcomers]
        assert places == [10, 11, 12]  # behind one of each of the nine


async def test_a_group_that_fills_its_part_of_the_queue_leaves_the_others_theirs(
    tmp_path: Path,
) -> None:
    limits = ExecutorLimits(max_waiting=8, groups=2, grace_s=0)
    async with Executor.open(one_model(tmp_path), limits=limits) as executor:
        await stepping(executor.submit(a_request("until never"), owner=99, group=1))
        for owner in range(4):
            executor.submit(a_request(), owner=owner, group=1)

        with pytest.raises(QueueFull) as refused:
            executor.submit(a_request(), owner=5, group=1)

        assert (refused.value.waiting, refused.value.limit) == (4, 4)
        for owner in range(6, 10):
            executor.submit(a_request(), owner=owner, group=2)


async def test_one_person_does_not_use_two_devices_while_another_waits(
    tmp_path: Path,
) -> None:
    limits = ExecutorLimits(max_running_per_person=1, grace_s=0)
    async with Executor.open(one_model(tmp_path), devices=("a", "b"), limits=limits) as executor:
        first, second = (executor.submit(a_request("until go"), owner=ALICE) for _ in range(2))
        await stepping(first)
        await executor.submit(a_request(), owner=BOB).result()

        assert second.progress.state is JobState.WAITING


async def test_two_devices_serve_two_people_at_once(tmp_path: Path) -> None:
    async with Executor.open(one_model(tmp_path), devices=("a", "b")) as executor:
        jobs = [executor.submit(a_request("until go"), owner=owner) for owner in (ALICE, BOB)]
        for job in jobs:
            await stepping(job)

        third = executor.submit(a_request(), owner=CAROL)
        assert third.progress.position == 1

        (tmp_path / "go").touch()
        made_by = [(await job.result()).provenance.device for job in jobs]
        await third.result()

    assert sorted(made_by) == ["a", "b"]


async def test_a_waiting_request_is_cancelled_at_once(executor: Executor) -> None:
    running = executor.submit(a_request("until never"), owner=ALICE)
    await stepping(running)
    job, behind = (executor.submit(a_request(), owner=BOB) for _ in range(2))
    moves_up = asyncio.create_task(progress_when(behind, lambda progress: progress.position == 1))
    await asyncio.sleep(0)  # the task checks once, and waits

    assert job.cancel()

    with pytest.raises(Cancelled):
        await job.result()
    await moves_up


async def test_a_running_request_is_cancelled_between_steps_and_the_worker_stays(
    executor: Executor,
) -> None:
    job = executor.submit(a_request("until never"), owner=ALICE)
    await stepping(job)
    pid = executor.status().workers[0].pid

    assert job.cancel()

    with pytest.raises(Cancelled):
        await job.result()
    await executor.submit(a_request(), owner=ALICE).result()
    assert executor.status().workers[0].pid == pid


async def test_a_finished_job_cannot_be_cancelled(executor: Executor) -> None:
    job = executor.submit(a_request(), owner=ALICE)
    await job.result()

    assert not job.cancel()
    assert job.progress.state is JobState.DONE


async def test_cancelling_a_caller_does_not_cancel_the_job(executor: Executor) -> None:
    job = executor.submit(a_request(), owner=ALICE)
    waiter = asyncio.create_task(job.result())
    await progress_when(job, lambda progress: progress.state is JobState.RUNNING)

    waiter.cancel()

    assert len((await job.result()).images) == 4


@pytest.mark.parametrize(
    ("prompt", "error"), [("raise", RequestFailed), ("memory", OutOfMemory)], ids=str
)
async def test_a_request_that_the_backend_cannot_serve_fails_alone(
    executor: Executor, prompt: str, error: type[RequestFailed]
) -> None:
    await worker_when(executor, WorkerState.IDLE)
    pid = executor.status().workers[0].pid
    job = executor.submit(a_request(prompt), owner=ALICE)

    with pytest.raises(error, match="by the script"):
        await job.result()

    await executor.submit(a_request(), owner=ALICE).result()
    assert executor.status().workers[0].pid == pid


async def test_an_executor_needs_a_device_and_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one device"):
        async with Executor.open(one_model(tmp_path), devices=()):
            pass

    with pytest.raises(ValueError, match="at least one model"):
        async with Executor.open({}):
            pass


async def test_a_large_image_to_vary_does_not_stop_the_loop_while_its_worker_is_slow(
    executor: Executor,
) -> None:
    """The pipe holds less. Every test fails if the loop stalls."""
    await executor.submit(a_request(), owner=ALICE).result()
    request = a_request(seeds=(5,), steps=10)
    variation = Variation(parent_id="a fox", strength=0.5)
    os.kill(pid_of(executor), signal.SIGSTOP)

    job = executor.submit(replace(request, variation=variation), owner=ALICE, parent=bytes(2**24))
    at_first = job.progress
    os.kill(pid_of(executor), signal.SIGCONT)
    [image] = (await job.result()).images

    assert at_first.steps == 5
    assert image.png == b"(5, 16777216)"

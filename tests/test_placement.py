"""Which worker a request goes to when there are several models, on a simulated clock."""

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.support.simulated import SimulatedHost, run_simulated, simulated_workers
from generation.queue.executor import Executor
from generation.queue.job import Job
from generation.queue.limits import ExecutorLimits
from generation.worker.specs import BackendSpec, PlaceholderSpec
from tests.support.generation.requests import a_request

LOAD_S, RUN_S = 20.0, 4.0
MODELS: dict[str, BackendSpec] = {"default": PlaceholderSpec(), "other": PlaceholderSpec()}
LIMITS = ExecutorLimits(max_waiting=99, max_waiting_per_person=99, grace_s=0)


def took_s(*moments: Sequence[str], workers: int) -> list[float]:
    """Seconds until each request of the last moment is made; a moment's requests come at once, each
    from somebody else, when those of the moment before are made."""

    async def day() -> list[float]:
        host = SimulatedHost(load_s=LOAD_S, seconds_for=lambda request: RUN_S)
        devices = {f"gpu {n}": host for n in range(workers)}
        with simulated_workers(devices, "default"):
            async with Executor.open(MODELS, devices=tuple(devices), limits=LIMITS) as executor:
                await asyncio.sleep(2 * LOAD_S)
                for models in moments:
                    took = await asyncio.gather(
                        *(timed(executor, model, owner) for owner, model in enumerate(models))
                    )

                return took

    return run_simulated(day())


async def timed(executor: Executor, model: str, owner: int) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await executor.submit(a_request(model=model), owner=owner).result()

    return loop.time() - began


def test_the_wait_that_is_told_is_the_one_that_comes() -> None:
    async def day() -> list[tuple[float | None, float]]:
        host = SimulatedHost(load_s=LOAD_S, seconds_for=lambda request: RUN_S)
        devices = {f"gpu {n}": host for n in range(2)}
        with simulated_workers(devices, "default"):
            async with Executor.open(MODELS, devices=tuple(devices), limits=LIMITS) as executor:
                await asyncio.sleep(2 * LOAD_S)
                for model in ("default", "other"):
                    await timed(executor, model, 0)

                jobs = [executor.submit(a_request(model="other"), owner=n) for n in range(9)]
                told = [job.progress.eta_s for job in jobs]
                took = await asyncio.gather(*(until_made(job) for job in jobs))

                return list(zip(told, took, strict=True))

    for told_s, took_s in run_simulated(day()):
        assert told_s == pytest.approx(took_s)


async def until_made(job: Job) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await job.result()

    return loop.time() - began


def test_a_request_waits_for_the_worker_that_has_its_model_if_that_is_sooner() -> None:
    took = took_s(["other"], ["other", "other"], workers=2)

    assert took == pytest.approx([RUN_S, 2 * RUN_S])


def test_a_model_that_many_wait_for_is_loaded_on_a_second_worker() -> None:
    took = took_s(["other"], 8 * ["other"], workers=2)

    assert max(took) < 8 * RUN_S
    assert LOAD_S + RUN_S in [pytest.approx(seconds) for seconds in took]


def test_those_behind_a_request_that_waits_are_not_kept_waiting() -> None:
    took = took_s(["other"], ["default"], ["other", "other", "default"], workers=2)

    assert took == pytest.approx([RUN_S, 2 * RUN_S, RUN_S])


def test_a_model_that_only_an_idle_worker_could_load_is_loaded_at_once() -> None:
    took = took_s(["other"], ["default"], ["other"], workers=1)

    assert took == pytest.approx([LOAD_S + RUN_S])

"""A day of a large server's traffic: the real queue, simulated workers, a simulated clock.

    python -m benchmarks.day --gpus 1,2,4,8 --requests 10000
    python -m benchmarks.day --gpus 8,16,32,64 --requests 100000

People come in sessions, most of them in the evening. In a session a member asks, looks at the
images, and asks again; who is refused tries again twice, and then leaves. One request in ten is for
another model, which a worker must load first. Four GPUs share a host, and each host fails once in
the day at a random moment, without a word, for ten minutes. Queue, fairness, limits and retries are
the program's own; nothing waits in real time. Prints JSON.
"""

import argparse
import asyncio
import itertools
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.support.facts import run
from benchmarks.support.simulated import SimulatedHost, run_simulated, simulated_workers
from generation.errors import GenerationError, QueueFull, TooManyYours
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from generation.request import ImageRequest
from generation.worker.specs import BackendSpec, PlaceholderSpec

DAY_S = 86_400.0
GPUS_A_HOST = 4
DOWN_S = 600.0
DEFAULT, OTHER = "default", "other"
MODELS: Mapping[str, BackendSpec] = {DEFAULT: PlaceholderSpec(), OTHER: PlaceholderSpec()}

BY_HOUR = (5, 3, 2, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 9, 10, 12, 14, 16, 17, 16, 13, 9)
"""Sessions that begin in each hour, in proportion: a third between 18 and 22 o'clock."""

REQUESTS_A_SESSION = 4.0
LOOKS_S = 30.0
TRIES, TRIES_AGAIN_S = 3, 60.0
FOR_THE_OTHER_MODEL = 0.1


@dataclass(slots=True)
class Day:
    """What happened. waits: seconds from accepting a request to its images, by when it ended."""

    waits: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    busy_s: float = 0.0


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A day for each number of GPUs; the same people come to each."""
    days = {gpus: await asyncio.to_thread(simulated, gpus, options) for gpus in options.gpus}

    return {
        "seconds_a_request": options.seconds,
        "days": {gpus: _figures(day, gpus) for gpus, day in days.items()},
    }


def simulated(gpus: int, options: argparse.Namespace) -> Day:
    """One day with so many GPUs."""
    return run_simulated(_day(gpus, options))


async def _day(gpus: int, options: argparse.Namespace) -> Day:
    dice = random.Random(options.seed)
    day = Day()

    def seconds_for(request: ImageRequest) -> float:
        seconds: float = options.seconds * request.steps / 50 * dice.uniform(0.9, 1.1)
        day.busy_s += seconds

        return seconds

    hosts = [
        SimulatedHost(load_s=options.load_s, seconds_for=seconds_for)
        for _ in range(math.ceil(gpus / GPUS_A_HOST))
    ]
    devices = {f"gpu {n}": hosts[n // GPUS_A_HOST] for n in range(gpus)}
    limits = ExecutorLimits(max_waiting=max(24, 3 * gpus), grace_s=0)
    with simulated_workers(devices, DEFAULT):
        async with (
            Executor.open(MODELS, devices=tuple(devices), limits=limits) as executor,
            asyncio.TaskGroup() as tasks,
        ):
            for host in hosts:
                tasks.create_task(_failing(host, dice.uniform(0, DAY_S)))

            people = itertools.count(1)
            for at_s in _beginnings(options.requests / REQUESTS_A_SESSION, dice):
                person = random.Random(dice.random())
                tasks.create_task(_session(executor, next(people), at_s, person, day))

    return day


async def _failing(host: SimulatedHost, at_s: float) -> None:
    await asyncio.sleep(at_s)
    host.fail()
    await asyncio.sleep(DOWN_S)
    host.come_back()


def _beginnings(sessions: float, dice: random.Random) -> list[float]:
    """When sessions begin: as many in an hour as its share says, each at a random moment."""
    share = sessions / sum(BY_HOUR)

    return [
        3600 * (hour + dice.random())
        for hour, weight in enumerate(BY_HOUR)
        for _ in range(round(share * weight))
    ]


async def _session(
    executor: Executor, person: int, at_s: float, dice: random.Random, day: Day
) -> None:
    """Ask, look, and ask again, as often as this person likes to."""
    await asyncio.sleep(at_s)
    while True:
        if not await _asked(executor, person, dice, day):
            day.counts["left because they were refused"] += 1
            return

        if dice.random() < 1 / REQUESTS_A_SESSION:
            return

        await asyncio.sleep(dice.expovariate(1 / LOOKS_S))


async def _asked(executor: Executor, person: int, dice: random.Random, day: Day) -> bool:
    """One request, tried until it is accepted; false if the person gives up."""
    request = ImageRequest(
        prompt="a fox",
        seeds=(1, 2, 3, 4),
        steps=dice.choice((30, 50, 50, 100)),
        model=OTHER if dice.random() < FOR_THE_OTHER_MODEL else DEFAULT,
    )
    loop = asyncio.get_running_loop()
    for _ in range(TRIES):
        try:
            job = executor.submit(request, owner=person)
        except (QueueFull, TooManyYours):
            day.counts["refused"] += 1
            await asyncio.sleep(dice.expovariate(1 / TRIES_AGAIN_S))
            continue

        accepted = loop.time()
        try:
            await job.result()
        except GenerationError as exc:
            day.counts[f"failed: {type(exc).__name__}"] += 1
        else:
            day.counts["made"] += 1
            day.waits.append(loop.time() - accepted)

        day.counts["made again after a lost host"] += job.workers_lost

        return True

    return False


def _figures(day: Day, gpus: int) -> dict[str, Any]:
    waits = sorted(day.waits)

    return {
        **dict(day.counts),
        "wait_s": {
            f"p{percent:g}": round(waits[math.ceil(percent / 100 * len(waits)) - 1], 1)
            for percent in (50, 90, 99, 99.9, 100)
        },
        "busy_share": round(day.busy_s / (gpus * DAY_S), 3),
    }


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.day")
    parser.add_argument("--gpus", type=_numbers, default=_numbers("1,2,4,8,16,32,64"))
    parser.add_argument("--requests", type=int, default=10_000, help="wanted in the day")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="that a request of 50 steps takes on a GPU"
    )
    parser.add_argument("--load-s", type=float, default=20.0, help="that loading a model takes")
    parser.add_argument("--seed", type=int, default=1)

    return parser.parse_args(arguments)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    """Simulate and print."""
    run("day", parsed(), measure)


if __name__ == "__main__":
    main()

"""Whose turn it is on a busy device: request by request, or step by step.

    python -m benchmarks.sharing

Two ways for people who ask at the same moment, or one after another, to share a device. Both are
tried with the toy model and our engine on the CPU, and with simulated requests, whose steps all
take the same time; the code that chooses whose step is next is the same. Waits are from asking to
the finished images, in units of what a usual request takes alone. Prints JSON.
"""

import argparse
import itertools
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from diffusers import StableDiffusionPipeline

from benchmarks.support.facts import run
from benchmarks.support.random_model import TOY_SIDE_PX, saved_model
from generation.diffusion.denoising import Denoiser
from generation.request import ImageRequest, Size

STEPS, FEW_STEPS = 50, 8
BUSY = 0.8
"""How much of the time the device is at work when people ask one after another."""


class Task(Protocol):
    """A request on its way."""

    def step(self) -> bool:
        """Take a step; whether that finished it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """When somebody asks, in seconds from the start, and what for."""

    at_s: float
    steps: int


Queue = deque[tuple[Asked, Task]]
Policy = Callable[[Queue], tuple[Asked, Task]]


def by_request(queue: Queue) -> tuple[Asked, Task]:
    """The first in the queue, until it is finished."""
    return queue[0]


def by_steps(queue: Queue) -> tuple[Asked, Task]:
    """Everybody in turn, a step each."""
    queue.rotate(-1)

    return queue[-1]


POLICIES: Mapping[str, Policy] = {"by request": by_request, "by steps": by_steps}


class Clock(Protocol):
    """Where the time comes from."""

    def now_s(self) -> float: ...

    def wait_until(self, at_s: float) -> None: ...


def shared(
    people: Sequence[Asked], begin: Callable[[Asked], Task], policy: Policy, clock: Clock
) -> list[tuple[Asked, float]]:
    """Serve everybody; each with their wait, in seconds."""
    coming = deque(sorted(people, key=lambda asked: asked.at_s))
    queue: Queue = deque()
    waits = []
    while coming or queue:
        if not queue:
            clock.wait_until(coming[0].at_s)

        while coming and coming[0].at_s <= clock.now_s():
            asked = coming.popleft()
            queue.append((asked, begin(asked)))

        turn = asked, task = policy(queue)
        if task.step():
            queue.remove(turn)
            waits.append((asked, clock.now_s() - asked.at_s))

    return waits


class SimulatedClock:
    """A clock that the simulated steps turn."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now_s(self) -> float:
        return self.time_s

    def wait_until(self, at_s: float) -> None:
        self.time_s = max(self.time_s, at_s)


class SimulatedTask:
    """Steps of a fiftieth of a second, so that a usual request takes one."""

    def __init__(self, asked: Asked, clock: SimulatedClock) -> None:
        self._left = asked.steps
        self._clock = clock

    def step(self) -> bool:
        self._clock.time_s += 1 / STEPS
        self._left -= 1

        return self._left == 0


class RealClock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()

    def now_s(self) -> float:
        return time.perf_counter() - self._began_s

    def wait_until(self, at_s: float) -> None:
        time.sleep(max(0.0, at_s - self.now_s()))


class RealTask:
    """Four images by the engine."""

    def __init__(self, engine: Denoiser, asked: Asked) -> None:
        seeds = (1, 2, 3, 4)
        self._run = engine.begin(
            ImageRequest(
                prompt="a fox",
                seeds=seeds,
                steps=asked.steps,
                size=Size(TOY_SIDE_PX, TOY_SIDE_PX),
                model="toy",
            )
        )

    def step(self) -> bool:
        self._run.step()
        if self._run.done < self._run.total:
            return False

        self._run.finish()

        return True


def at_once(people: int, *, steps: int = STEPS) -> list[Asked]:
    """Everybody asks at the same moment, for the same."""
    return [Asked(at_s=0.0, steps=steps) for _ in range(people)]


def one_after_another(people: int, *, few: float, seed: int = 1) -> list[Asked]:
    """People come at random, so that the device is at work BUSY of the time; some of them, as many
    as the share says, for few steps.
    """
    randomness = random.Random(seed)
    steps = [FEW_STEPS if randomness.random() < few else STEPS for _ in range(people)]
    mean_s = statistics.mean(steps) / STEPS
    gaps_s = [randomness.expovariate(BUSY / mean_s) for _ in steps]

    return [
        Asked(at_s=at_s, steps=count)
        for at_s, count in zip(itertools.accumulate(gaps_s), steps, strict=True)
    ]


def summed_up(waits: Sequence[tuple[Asked, float]], *, unit_s: float = 1.0) -> dict[str, Any]:
    """Median, mean and worst wait; of those who asked for few steps, separately."""
    few = [wait / unit_s for asked, wait in waits if asked.steps == FEW_STEPS]
    usual = [wait / unit_s for asked, wait in waits if asked.steps != FEW_STEPS]

    return {
        name: {
            "people": len(some),
            "median": round(statistics.median(some), 3),
            "mean": round(statistics.mean(some), 3),
            "worst": round(max(some), 3),
        }
        for name, some in (("usual", usual), ("few steps", few))
        if some
    }


def simulated(people: Sequence[Asked]) -> dict[str, Any]:
    """Both ways, in simulated time."""
    figures = {}
    for name, policy in POLICIES.items():
        clock = SimulatedClock()
        waits = shared(people, partial(SimulatedTask, clock=clock), policy, clock)
        figures[name] = summed_up(waits)

    return figures


def tried(engine: Denoiser, people: Sequence[Asked]) -> dict[str, Any]:
    """Both ways, with the engine; the unit is measured just before, on the first of them alone."""
    figures = {}
    for name, policy in POLICIES.items():
        begin = partial(RealTask, engine)
        [(_, unit_s)] = shared(people[:1], begin, policy, RealClock())
        waits = shared(people, begin, policy, RealClock())
        figures[name] = {"unit_s": round(unit_s, 3), **summed_up(waits, unit_s=unit_s)}

    return figures


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """At once with the engine and simulated; one after another simulated, where many are needed."""
    pipeline = StableDiffusionPipeline.from_pretrained(saved_model(folder, toy=True))
    engine = Denoiser(pipeline, device="cpu")
    tried(engine, at_once(1, steps=options.engine_steps))  # warms up

    return {
        "at_once": {
            str(people): {
                "engine": tried(engine, at_once(people, steps=options.engine_steps)),
                "simulated": simulated(at_once(people)),
            }
            for people in options.people
        },
        "one_after_another": {
            f"{few:.0%} of few steps": simulated(one_after_another(options.many, few=few))
            for few in (0.0, 0.1, 0.5)
        },
    }


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.sharing")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--engine-steps", type=int, default=STEPS)
    parser.add_argument("--many", type=int, default=20_000, help="who come one after another")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("sharing", parsed(), measure)


if __name__ == "__main__":
    main()

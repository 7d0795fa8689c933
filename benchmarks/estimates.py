"""How right the time left is that members are told, through the real executor and its worker.

    python -m benchmarks.estimates --step-seconds 0.2
    python -m benchmarks.estimates --model FOLDER --size 64x64

Several people ask for images of different sizes and steps, each shape a few times; the placeholder
draws them, or a model of diffusers. Twice a second, and after each step, what is told then is
compared with what it really took from there. Prints JSON.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support.facts import run
from bot.chat.texts import duration
from generation.queue.executor import Executor
from generation.queue.job import Job, JobProgress, JobState
from generation.queue.limits import ExecutorLimits
from generation.request import ImageRequest, Size
from generation.worker.specs import BackendSpec, DiffusersSpec, PlaceholderSpec

HONEST = 0.2
FLOOR_S = 1.0
FLOOR_OF_WHOLE = 0.1
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one request's asker was told at one moment; times are seconds on one clock."""

    at: float
    progress: JobProgress


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everybody asks at once, so that most wait in line."""
    requests = [
        ImageRequest(
            prompt="a fox", seeds=seeds, steps=steps, size=options.size, model="placeholder"
        )
        for _ in range(options.rounds)
        for seeds, steps in (((1, 2, 3, 4), options.steps), ((1,), options.steps // 2))
    ]
    limits = ExecutorLimits(max_waiting=len(requests), load_s=600)
    async with Executor.open({"placeholder": _spec(options)}, limits=limits) as executor:
        await asyncio.wait_for(_loaded(executor), timeout=600)
        jobs = [executor.submit(request, owner=n) for n, request in enumerate(requests)]
        followed = await asyncio.gather(*(_follow(job) for job in jobs))

    later = followed[2:]

    return {
        "first_since_the_start": _summary(followed[:1], state=JobState.RUNNING),
        "first_of_another_shape": _summary(followed[1:2], state=JobState.RUNNING),
        "running": _summary(later, state=JobState.RUNNING),
        "waiting": _summary(later, state=JobState.WAITING),
        "seconds": [round(told[-1].at - began, 2) for told, began in map(_span, followed)],
    }


def _span(told: Sequence[Told]) -> tuple[Sequence[Told], float]:
    return told, next(each.at for each in told if each.progress.state is not JobState.WAITING)


async def _loaded(executor: Executor) -> None:
    while not executor.status().workers[0].models:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0.05)


async def _follow(job: Job) -> Sequence[Told]:
    told = [Told(at=time.perf_counter(), progress=job.progress)]
    while not told[-1].progress.state.is_final:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                progress = await job.wait_change(since=told[-1].progress)
        except TimeoutError:
            progress = job.progress

        told.append(Told(at=time.perf_counter(), progress=progress))

    await job.result()

    return told


def _summary(followed: Sequence[Sequence[Told]], *, state: JobState) -> Mapping[str, Any]:
    """Over all moments of that state; of a running request those from its second step on."""
    errors: list[float] = []
    honest, untold, said = 0, 0, 0
    for told in followed:
        ended_at = told[-1].at
        whole_s = ended_at - _span(told)[1]
        for each in told:
            progress = each.progress
            if progress.state is not state or (state is JobState.RUNNING and progress.step < 2):
                continue

            if progress.eta_s is None:
                untold += 1
                continue

            true_s = ended_at - each.at
            error_s = abs(progress.eta_s - true_s)
            floor_s = max(FLOOR_S, FLOOR_OF_WHOLE * whole_s)
            honest += error_s <= max(HONEST * true_s, floor_s)
            said += duration(progress.eta_s) == duration(true_s)
            errors.append(error_s / max(true_s, FLOOR_S))

    errors.sort()
    count = len(errors)

    return {
        "moments": count,
        "nothing_told": untold,
        "honest": honest,
        "said_with_the_right_words": said,
        "error_of_the_rest": {
            "median": round(errors[count // 2], 3),
            "p90": round(errors[int(0.9 * count)], 3),
            "max": round(errors[-1], 3),
        }
        if errors
        else None,
    }


def _spec(options: argparse.Namespace) -> BackendSpec:
    if options.model:
        return DiffusersSpec(model=options.model)

    return PlaceholderSpec(seconds_per_step=options.step_seconds)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.estimates")
    parser.add_argument("--model", default="", help="a folder or a name; else the placeholder")
    parser.add_argument("--step-seconds", type=float, default=0.2, help="the placeholder's")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--size", type=Size.parse, default=Size(512, 512))
    parser.add_argument("--rounds", type=int, default=4, help="requests of each shape")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("estimates", parsed(), measure)


if __name__ == "__main__":
    main()

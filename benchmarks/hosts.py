"""What a request costs more on another host, through Ray, than in a worker process on this one.

    python -m benchmarks.hosts --check

Requests of one step, whose one small image the placeholder draws, go through the real executor, one
after another: to a worker process on a pipe, and to one on a real Ray cluster on the loopback.
Requests of many steps show what the messages in between cost. Processor time is that of all
processes: this one, the workers, the driver and Ray's own. Prints JSON.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

import psutil

from benchmarks.support.facts import processor_s, run, spread_ms
from generation.cluster.settings import ClusterSettings
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from generation.request import ImageRequest, Size
from generation.worker.specs import BackendSpec, PlaceholderSpec
from tests.support.generation.ray_nodes import RayNodes

MOST_MORE_MS = 50.0
STEPS = (1, 50)
MODELS: Mapping[str, BackendSpec] = {"placeholder": PlaceholderSpec(seconds_per_step=0.001)}
LIMITS = ExecutorLimits(grace_s=0)


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Both ways in turn, so that what else the machine does disturbs both."""
    async with RayNodes.running() as nodes:
        os.environ.update(nodes.environment)
        await nodes.add("other", gpus=1)
        cluster = ClusterSettings(
            address=nodes.address,
            workers=1,
            gpus=1,
            resources={},
            folder=PurePosixPath(folder / "hosts"),
        )
        async with _pipe() as pipe, _ray(cluster) as ray:
            for executor in (pipe, ray):
                await _timed(executor, steps=1)  # the workers start and load

            processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
            took: dict[tuple[str, int], list[float]] = defaultdict(list)
            used_s: dict[tuple[str, int], float] = defaultdict(float)
            for _ in range(options.requests):
                for way, executor in (("pipe", pipe), ("ray", ray)):
                    for steps in STEPS:
                        used_before_s = sum(map(processor_s, processes))
                        seconds = await _timed(executor, steps=steps)
                        took[way, steps].append(seconds)
                        used_s[way, steps] += sum(map(processor_s, processes)) - used_before_s

    more = {
        steps: round(1000 * (median(took["ray", steps]) - median(took["pipe", steps])), 1)
        for steps in STEPS
    }

    return {
        **{f"{way}_{steps}_steps_ms": spread_ms(seconds) for (way, steps), seconds in took.items()},
        "more_ms_median": more,
        "processor_ms_a_request": {
            f"{way}_{steps}_steps": round(1000 * seconds / options.requests, 1)
            for (way, steps), seconds in used_s.items()
        },
        "missed": [
            f"{steps} steps: {more[steps]} ms more, bar {MOST_MORE_MS:g}"
            for steps in STEPS
            if more[steps] > MOST_MORE_MS
        ],
    }


def _pipe() -> AbstractAsyncContextManager[Executor]:
    # Not on "cpu", where a worker has a lower priority than one on a GPU.
    return Executor.open(MODELS, devices=("cuda",), limits=LIMITS)


def _ray(cluster: ClusterSettings) -> AbstractAsyncContextManager[Executor]:
    return Executor.open(MODELS, devices=(), cluster=cluster, limits=LIMITS)


async def _timed(executor: Executor, *, steps: int) -> float:
    request = ImageRequest(
        prompt="a fox in the snow",
        seeds=(1,),
        steps=steps,
        size=Size(64, 64),
        model="placeholder",
    )
    began = time.perf_counter()
    await executor.submit(request, owner=1).result()

    return time.perf_counter() - began


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.hosts")
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("hosts", parsed(), measure)


if __name__ == "__main__":
    main()

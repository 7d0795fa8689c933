"""Four emoji while other processes use every core: what they cost, in processor time.

    python -m benchmarks.busy --beside 8 --check

Each way to run torch's threads gets a worker of its own, as the bot starts it, and makes a set of
four images once for practice and then `--times` times, beside loops that never rest. Prints JSON.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.facts import run
from generation import emoji
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from generation.request import ImageRequest, Size
from generation.worker.specs import DiffusersSpec

BAR_S = 5.0
NOW = "as it is"
# The second is how workers ran before their threads slept: two, which spin while they wait.
WAYS: Mapping[str, tuple[int | None, str | None]] = {NOW: (None, None), "two spin": (2, "ACTIVE")}
LOOP = "import os; os.nice(5)\nwhile True: pass"  # a worker on the CPU has this priority
REQUEST = ImageRequest(
    prompt="a strawberry",
    seeds=(1, 2, 3, 4),
    steps=emoji.STEPS,
    guidance_scale=emoji.GUIDANCE,
    size=Size(emoji.SIDE_PX, emoji.SIDE_PX),
    model="emoji",
)


async def measure(_folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Each way, alone with the load."""
    ways = {}
    for name, (threads, waiting) in WAYS.items():
        with _environment("OMP_WAIT_POLICY", waiting):
            ways[name] = await _measured(threads, options)

    worst_s = max(ways[NOW]["processor_s"])

    return {
        "ways": ways,
        "bar_s": BAR_S,
        "missed": [f"{NOW}: {worst_s} s"] if worst_s > BAR_S else [],
    }


async def _measured(threads: int | None, options: argparse.Namespace) -> dict[str, Any]:
    models = {REQUEST.model: DiffusersSpec(model=str(emoji.MODEL), threads=threads)}
    limits = ExecutorLimits(deadline_s=3600, silence_s=3600)
    async with Executor.open(models, devices=("cpu",), limits=limits) as executor:
        await executor.submit(REQUEST, owner=1).result()
        (worker,) = executor.status().workers
        assert worker.pid is not None
        process = psutil.Process(worker.pid)
        spent = []
        with _load(options.beside):
            for _ in range(options.times):
                began, used = time.perf_counter(), _processor_s(process)
                await executor.submit(REQUEST, owner=1).result()
                spent.append((_processor_s(process) - used, time.perf_counter() - began))

    return {
        "processor_s": [round(processor_s, 2) for processor_s, _ in spent],
        "seconds": [round(seconds, 1) for _, seconds in spent],
    }


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()

    return times.user + times.system


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """What workers inherit that are started in the block; None leaves the choice to them."""
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value

    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _load(processes: int) -> Iterator[None]:
    """So many loops that never rest."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.busy")
    parser.add_argument("--beside", type=int, default=8, help="how many loops run beside it")
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="exit status 1 above the bar")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("busy", parsed(), measure)


if __name__ == "__main__":
    main()

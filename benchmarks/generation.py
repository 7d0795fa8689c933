"""How fast images are made: the tutorial's code and ours, interleaved, in one run.

    python -m benchmarks.generation --folder /var/tmp/oxherd-bench
    python -m benchmarks.generation --toy

Stable Diffusion 1.4 with random weights, four images of 512 x 512 pixels, 50 steps, guidance 7.5,
on the first CUDA device or else the CPU. `--toy` is a tiny model on few pixels, so that the
benchmark runs anywhere within a minute; its figures tell nothing of a GPU. The folder keeps the
model (4.3 GB, made once) and nothing else. JSON on standard output, a table on standard error.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch

from benchmarks.support.device_work import (
    MATMUL_SIDE,
    TOY_MATMUL_SIDE,
    Laps,
    counted_tflop,
    matmul_peak_tflops,
    now_s,
    peak_memory_mb,
)
from benchmarks.support.facts import run
from benchmarks.support.makers import FULL, IMAGES, MODEL, OURS, Setting, makers_of, opened
from benchmarks.support.random_model import SIDE_PX, TOY_SIDE_PX, saved_model
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from generation.worker.specs import Dtype

PACKAGES = ("torch", "diffusers", "transformers", "accelerate")
SETTLES_WITHIN_S = 3600.0

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything, one after another: first what needs processes of its own, and the device's whole
    memory, then what this one does.
    """
    device = options.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    half: Dtype = "float16" if device.startswith("cuda") else "float32"  # a CPU's half is none
    makers = makers_of(half)
    setting = Setting(
        model=saved_model(options.folder or folder, toy=options.toy),
        device=device,
        half=half,
        steps=options.steps,
        side_px=TOY_SIDE_PX if options.toy else SIDE_PX,
        compile=options.compile,
        compiled=folder / "compiled",
    )
    first_start, _ = await started(setting, [])
    second_start, people = await started(setting, options.people)
    memory_mb = {name: in_a_process(peak_memory_mb, setting, name) for name in makers}
    timed = interleaved(setting, makers, rounds=options.rounds)
    side = TOY_MATMUL_SIDE if options.toy else MATMUL_SIDE
    peaks: dict[str, float] = {
        dtype: matmul_peak_tflops(dtype, device, side=side) for dtype in {"float32", half}
    }
    work = counted_tflop(setting)

    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "versions": {package: version(package) for package in PACKAGES},
        "tflop": work,
        "matmul_peak_tflops": peaks,
        "makers": {
            name: summed_up(
                timed[name], work=work, peak=peaks[dtype_of(name, half)], memory_mb=memory_mb[name]
            )
            for name in makers
        },
        "starts": {"first start": first_start, "second start": second_start},
        "people": people,
    }


def in_a_process(
    function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Answer:
    """What it returns in a new process, which is gone then, and with it what it held."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args, **kwargs).result()


def interleaved(
    setting: Setting, names: Sequence[str], *, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Each maker in turn, so many times, after a round that does not count."""
    makers = {name: opened(name, setting) for name in names}
    timed: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        for name, maker in makers.items():
            laps = Laps()
            began_s = now_s()
            maker.make(turn, laps.lap)
            seconds = now_s() - began_s
            if turn > 0:
                timed[name].append({"seconds": seconds, "step_s": laps.mean_s()})

    return timed


def dtype_of(name: str, half: str) -> str:
    """The number format of a maker's weights."""
    return "float32" if name == FULL else half


def summed_up(
    timed: Sequence[Mapping[str, float]],
    *,
    work: Mapping[str, float],
    peak: float,
    memory_mb: float,
) -> dict[str, Any]:
    """Medians over the rounds."""
    step_s = statistics.median(each["step_s"] for each in timed)
    tflops = work["step"] / step_s

    return {
        "seconds": statistics.median(each["seconds"] for each in timed),
        "seconds_of_all_rounds": [each["seconds"] for each in timed],
        "steps_per_s": 1 / step_s,
        "tflops_in_the_loop": tflops,
        "share_of_peak_in_the_loop": tflops / peak,
        "peak_memory_mb": memory_mb,
    }


async def started(
    setting: Setting, crowds: Sequence[int]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Start a worker: the time until its first images, until the way it serves is settled, and the
    time of a request then. The weights may be in the system's file cache.

    Then, for each crowd, that many people ask at once.
    """
    began_s = time.perf_counter()
    async with Executor.open(
        {MODEL: setting.spec},
        devices=[setting.device],
        limits=ExecutorLimits(max_waiting=100, deadline_s=SETTLES_WITHIN_S),
    ) as executor:
        await executor.submit(setting.request(0), owner=0).result()
        first_s = time.perf_counter() - began_s
        serving = await settled(executor)
        settled_s = time.perf_counter() - began_s
        result = await executor.submit(setting.request(1), owner=0).result()
        people = [await asked_at_once(setting, executor, crowd) for crowd in crowds]

    start = {
        "seconds_to_the_first_images": first_s,
        "seconds_until_it_serves_as_from_then_on": settled_s,
        "serves": serving or "eager",
        "seconds_of_a_request_then": result.seconds,
    }

    return start, people


async def asked_at_once(
    setting: Setting, executor: Executor, people: int, *, requests_each: int = 2
) -> dict[str, Any]:
    """What people wait for who ask together, and again as soon as the first images are there."""
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as asking:
        tasks = [
            asking.create_task(waits_of(person, setting, executor, requests=requests_each))
            for person in range(people)
        ]

    seconds = time.perf_counter() - began_s
    waits_s = [task.result() for task in tasks]
    each = [
        {"median_wait_s": statistics.median(waits), "worst_wait_s": max(waits)} for waits in waits_s
    ]

    return {
        "people": people,
        "images_per_s": people * requests_each * IMAGES / seconds,
        "median_wait_s": statistics.median(person["median_wait_s"] for person in each),
        "worst_wait_s": max(person["worst_wait_s"] for person in each),
        "each": each,
    }


async def waits_of(
    person: int, setting: Setting, executor: Executor, *, requests: int
) -> list[float]:
    """The waits of somebody who asks so often, seconds."""
    waits_s = []
    for turn in range(requests):
        began_s = time.perf_counter()
        request = setting.request(person * requests + turn)
        await executor.submit(request, owner=person).result()
        waits_s.append(time.perf_counter() - began_s)

    return waits_s


async def settled(executor: Executor) -> str:
    """How the worker serves, once the compiler has finished."""
    async with asyncio.timeout(SETTLES_WITHIN_S):
        while "compiling" in (serving := executor.status().workers[0].serving):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # nobody announces it

    return serving


def table(figures: Mapping[str, Any]) -> str:
    """The figures that the targets are about, as Markdown."""
    lines = [
        f"On {figures['device']}, torch {figures['versions']['torch']}:",
        "",
        "| | seconds | steps/s | TFLOP/s | of peak | memory, MB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, maker in figures["makers"].items():
        lines.append(
            f"| {name} | {maker['seconds']:.3f} | {maker['steps_per_s']:.1f} "
            f"| {maker['tflops_in_the_loop']:.3g} | {maker['share_of_peak_in_the_loop']:.0%} "
            f"| {maker['peak_memory_mb']:,.0f} |"
        )

    baseline, ours = (figures["makers"][name]["seconds"] for name in (FULL, OURS))
    lines += [
        "",
        f"{baseline / ours:.2f} times as fast as the tutorial's float32.",
        "",
        "| | first images after | settled after | a request then |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {start['seconds_to_the_first_images']:.1f} s "
        f"| {start['seconds_until_it_serves_as_from_then_on']:.1f} s ({start['serves']}) "
        f"| {start['seconds_of_a_request_then']:.3f} s |"
        for name, start in figures["starts"].items()
    ]
    lines += [
        "",
        "| people at once | images/s | median wait | worst wait |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {crowd['people']} | {crowd['images_per_s']:.2f} | {crowd['median_wait_s']:.2f} s "
        f"| {crowd['worst_wait_s']:.2f} s |"
        for crowd in figures["people"]
    ]

    return "\n".join(lines)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.generation",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--toy", action="store_true", help="a tiny model, on any machine")
    parser.add_argument("--folder", type=Path, help="where the model is kept for the next run")
    parser.add_argument("--device", help="a torch device; default the first CUDA device, or cpu")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5, help="of each maker, interleaved")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--compile", choices=["auto", "on", "off"], default="auto")

    return parser.parse_args(arguments)


async def measured_and_shown(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure, and show the table while the JSON goes where the operator sent it."""
    figures = await measure(folder, options)
    sys.stderr.write(table(figures) + "\n")

    return figures


def main() -> None:
    """Measure and print."""
    run("generation", parsed(), measured_and_shown)


if __name__ == "__main__":
    main()

"""What an image classifier costs a request: time and memory in the worker, for four images.

`open_nsfw` is the real one; beside it a ViT-base with random weights, the size of the classifiers
that are published for transformers: what it finds is nonsense, and what it costs is not.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.facts import run, spread_ms
from generation.placeholder import PlaceholderBackend
from generation.request import ImageRequest
from generation.safety.screen import PACKAGED, SafetySpec, open_classifier
from generation.worker.specs import PlaceholderSpec

SAVE = """
import sys
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil
labels = {0: "normal", 1: "nsfw"}
model = ViTForImageClassification(ViTConfig(id2label=labels, label2id={"normal": 0, "nsfw": 1}))
model.save_pretrained(sys.argv[1])
ViTImageProcessorPil().save_pretrained(sys.argv[1])
"""


class _Nobody:
    """Follows the images being drawn, and wants nothing."""

    cancelled = False
    wants_preview = False

    def step_done(self, step: int, steps: int) -> None: ...

    def preview(self, draw: object) -> None: ...


async def measure(folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    """Each classifier in a process of its own, so that its memory is its own too."""
    vit = folder / "vit-base"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", SAVE, str(vit)], check=True)
    figures = {}
    for name, model in ((PACKAGED, PACKAGED), ("vit-base", str(vit))):
        command = [sys.executable, "-m", "benchmarks.checking", "--alone", model]
        command += ["--times", str(options.times), "--device", options.device]
        done = await asyncio.to_thread(
            subprocess.run, command, check=True, stdout=subprocess.PIPE, text=True
        )
        figures[name] = json.loads(done.stdout)

    return figures


def alone(model: str, *, times: int, device: str) -> Mapping[str, Any]:
    """One classifier in this process."""
    pngs = four_pictures()
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    classifier = open_classifier(SafetySpec(model=model), device=device)
    name = classifier.load()
    loaded = time.perf_counter()
    classifier.scores(pngs)
    first = time.perf_counter()
    seconds, processor_seconds = [], []
    for _ in range(times):
        start, processor_start = time.perf_counter(), time.process_time()
        classifier.scores(pngs)
        seconds.append(time.perf_counter() - start)
        processor_seconds.append(time.process_time() - processor_start)

    return {
        "classifier": name,
        "device": device,
        "load_s": round(loaded - began, 2),
        "first_request_ms": round(1000 * (first - loaded), 1),
        "request_of_four_ms": spread_ms(seconds),
        # On all cores together; says something on a busy machine too.
        "request_of_four_processor_ms": spread_ms(processor_seconds),
        "memory_mb": round((psutil.Process().memory_info().rss - before) / 1e6),
    }


def four_pictures() -> list[bytes]:
    """Four drawings of 512 x 512 as PNG."""
    spec = PlaceholderSpec(seconds_per_step=0)
    request = ImageRequest(
        prompt="a fox in the snow", seeds=(1, 2, 3, 4), steps=1, model="placeholder"
    )
    made = PlaceholderBackend(spec, device="cpu").generate(request, _Nobody())

    return [image.png for image in made.images]


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.checking")
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--device", default="auto", help="cpu, cuda, …; open_nsfw is on the CPU")
    parser.add_argument("--alone", help=argparse.SUPPRESS)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    options = parsed()
    if options.alone is None:
        run("checking", options, measure)
    else:
        figures = alone(options.alone, times=options.times, device=options.device)
        sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()

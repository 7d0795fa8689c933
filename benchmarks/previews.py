"""What previews of a model look like, how much of its images they explain, and what they cost.

    python -m benchmarks.previews MODEL --size 128x128 --sheet previews.png

Makes images, fits the preview's colours to half of them, and measures on the other half; then
makes one slow request with previews as the bot has them. The sheet shows, for images that were not
part of the fit, the previews after some of the steps, and the image. Prints JSON.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image

from benchmarks.support.facts import run
from generation.diffusion.denoising import Denoiser
from generation.diffusion.engine import Stage
from generation.diffusion.latent_preview import LatentColours, LatentPreviews
from generation.image_files import preview_jpeg
from generation.request import ImageRequest, Size
from generation.worker.preview_budget import PreviewBudget
from generation.worker.stopwatch import Stopwatch

CELL_PX = 128
COLUMNS = 6


class Watching:
    """A watcher as the worker's, that keeps the previews instead of sending them."""

    cancelled = False

    def __init__(self) -> None:
        self.costs_s: list[float] = []
        self.bytes: list[int] = []
        self._budget = PreviewBudget()
        self._watch = Stopwatch(started_at=time.perf_counter())
        self._budget.begin(now=self._watch.started_at)

    def step_done(self, step: int, steps: int) -> None:
        self._watch.lap(step, steps, now=time.perf_counter())

    @property
    def wants_preview(self) -> bool:
        return self._budget.allows(self._watch, now=time.perf_counter())

    def preview(self, draw: Callable[[], bytes]) -> None:
        began = time.perf_counter()
        self.bytes.append(len(draw()))
        self.costs_s.append(time.perf_counter() - began)
        self._budget.spend(self.costs_s[-1], now=began)


class Looking:
    """Draws a preview after each step, and keeps them."""

    def __init__(self, colours: LatentColours) -> None:
        self.drawn: list[list[Image.Image]] = []
        self.ms: list[float] = []
        self.latest: Stage
        self._colours = colours

    def __call__(self, stage: Stage) -> None:
        self.latest = stage
        expected = stage.expected()
        if self._colours.is_ready and expected is not None:
            began = time.perf_counter()
            preview_jpeg(self._colours.draw(expected))
            self.ms.append(1000 * (time.perf_counter() - began))
            self.drawn.append(self._colours.draw(expected))


async def measure(_folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Fit, compare, time; nothing runs beside it."""
    diffusers.utils.logging.disable_progress_bar()
    dtype = torch.float16 if options.device.startswith("cuda") else torch.float32
    pipeline = diffusers.DiffusionPipeline.from_pretrained(options.model, dtype=dtype)
    pipeline.to(options.device)
    pipeline.set_progress_bar_config(disable=True)
    engine = Denoiser(pipeline, device=options.device)
    colours = LatentColours()
    learnt, others = options.prompts[::2], options.prompts[1::2]
    for prompt in learnt:
        looking = Looking(LatentColours())
        decoded = engine.make(_request(options, prompt), looking)
        LatentPreviews(colours, device=options.device).learn(looking.latest, decoded)

    ms: list[float] = []
    rows: list[list[Image.Image]] = []
    pairs: list[tuple[Image.Image, Image.Image]] = []
    for prompt in others:
        looking = Looking(colours)
        images = [each.image for each in engine.make(_request(options, prompt), looking)]
        ms += looking.ms
        pairs += zip(colours.draw(looking.latest.latents), images, strict=True)
        last = len(looking.drawn) - 1
        some = [looking.drawn[round(n * last / (COLUMNS - 2))] for n in range(COLUMNS - 1)]
        rows += [[*(step[n] for step in some), image] for n, image in enumerate(images)]

    if options.sheet:
        _sheet(rows).save(options.sheet)

    return {
        "latent_channels": looking.latest.latents.shape[1],
        "images_in_the_fit": len(learnt) * len(options.seeds),
        "r_squared_in_the_fit": [round(share, 3) for share in colours.r_squared()],
        "r_squared_of_others": round(_r_squared(pairs), 3),
        "preview_ms": {"median": round(statistics.median(ms), 2), "max": round(max(ms), 2)},
        "slow_request": _slow(engine, colours, options),
    }


def _slow(engine: Denoiser, colours: LatentColours, options: argparse.Namespace) -> dict[str, Any]:
    watching, previews = Watching(), LatentPreviews(colours, device=options.device)

    def after_step(stage: Stage) -> None:
        watching.step_done(stage.done, stage.total)
        previews.offer(stage, watching)

    began = time.perf_counter()
    engine.make(_request(options, options.prompts[0], steps=options.slow_steps), after_step)
    whole_s = time.perf_counter() - began

    return {
        "seconds": round(whole_s, 2),
        "previews": len(watching.costs_s),
        "share_of_its_time": round(sum(watching.costs_s) / whole_s, 5),
        "most_bytes": max(watching.bytes, default=0),
    }


def _request(options: argparse.Namespace, prompt: str, steps: int | None = None) -> ImageRequest:
    return ImageRequest(
        prompt=prompt,
        seeds=tuple(options.seeds),
        steps=steps or options.steps,
        guidance_scale=options.guidance,
        size=options.size,
        model=options.model,
    )


def _r_squared(pairs: Sequence[tuple[Image.Image, Image.Image]]) -> float:
    """How much of the images' variance, all colours together, the drawn ones explain."""
    drawn, true = (
        torch.cat([_levels(pair[which], pair[0].size) for pair in pairs]) for which in (0, 1)
    )
    rest, total = ((drawn - true) ** 2).sum(), ((true - true.mean(0)) ** 2).sum()

    return float(1 - rest / total)


def _levels(image: Image.Image, size: tuple[int, int]) -> Any:
    small = image.convert("RGB").resize(size, Image.Resampling.BOX)

    return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(-1, 3).double()


def _sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    sheet = Image.new("RGB", (COLUMNS * CELL_PX, len(rows) * CELL_PX))
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            cell = image.resize((CELL_PX, CELL_PX), Image.Resampling.BICUBIC)
            sheet.paste(cell, (x * CELL_PX, y * CELL_PX))

    return sheet


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.previews")
    parser.add_argument("model", help="a folder, or a name on the hub")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=Size.parse, default=Size(512, 512))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--slow-steps", type=int, default=100)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument(
        "--prompts", nargs="+", default=["a red apple", "a fox", "a blue car", "a tree"]
    )
    parser.add_argument("--sheet", default="", help="where to put the image, if anywhere")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("previews", parsed(), measure)


if __name__ == "__main__":
    main()

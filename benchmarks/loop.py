"""Whether votes make a better model: scripted tastes, and controls that must show nothing.

    python -m benchmarks.loop --check

The shipped model makes sets of four images; a taste votes on each image, a share of the votes is
wrong. `oxherd tune` learns from the votes. Then the taste compares an image of the tuned model with
one of the base, of prompts that were held out and with different seeds, without knowing which is
which. Tastes come in opposite pairs, because a single win rate shows nothing: a model that changes
at random, or that training makes brighter whatever the votes were, wins for one taste what it loses
for the other.

Controls: the same with votes that are random, averaged over opposite tastes; and the base against
itself. Fidelity is the share of images whose outlines are those of the right emoji (see
generation/tuning/edges.py); the tuned models and the base draw them with the same seeds.

Everything runs on one core. Images are drawn in batches of many prompts and in fewer steps than
members get, which changes both sides of a comparison alike.

Downloads the pictures and labels with npm, unless --packages has them. With --check,
exit status 1 if a bar is missed. Prints JSON.
"""

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import psutil
import torch
from PIL import Image

from benchmarks.support.facts import run
from benchmarks.support.plain_dataset import write_voted
from benchmarks.support.tastes import OPPOSITES, TASTES, Taste, prefers, votes
from generation.diffusion.loading import find_model, load_pipeline
from generation.emoji import GUIDANCE, MODEL, SIDE_PX
from generation.tuning.edges import RECOGNISED, likeness, outline
from generation.worker.specs import DiffusersSpec
from storage.export.selection import Options, same_prompt, split_of
from storage.quality.agreement import interval
from training import emoji as source
from training.styles import picture

LEAST_WINS, LEAST_MEAN, LEAST_LOWER = 0.70, 0.75, 0.60
MOST_CONTROL_OFF = 0.08
MOST_FIDELITY_LOST = 0.02
MOST_SECONDS, MOST_BYTES = 300.0, 1.2e9

_SEED = 20261129
_SLOTS = 4
_AT_ONCE = 16
_POLL_S = 0.2

# First seeds: of what is voted on, of the base's images, and of those that are compared with them.
_VOTED, _BASE, _OTHER = 0, 1_000_000, 2_000_000

Images = Mapping[str, Image.Image]


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    emoji = _emoji(options, folder)
    learned, held_out = _prompts(emoji, options)
    pairs = OPPOSITES[: options.pairs]
    torch.set_num_threads(1)
    shipped = Drawer(MODEL, steps=options.steps)
    voted = shipped.draw([prompt for prompt in learned for _ in range(_SLOTS)], seed=_VOTED)
    sets = {
        prompt: voted[_SLOTS * number : _SLOTS * (number + 1)]
        for number, prompt in enumerate(learned)
    }
    base, again = (shipped.drawn(held_out, seed=seed) for seed in (_BASE, _OTHER))
    _tell("images of the base", {"processor_s": round(time.process_time())})
    right = {
        f"a {one.label}": [outline(Image.fromarray(picture(drawing))) for drawing in one.drawings]
        for one in emoji
    }

    def fidelity(images: Images) -> float:
        found = [likeness(outline(image), right[prompt]) for prompt, image in images.items()]

        return round(mean(one >= RECOGNISED for one in found), 3)

    def tuned(
        name: str, taste: Taste, chance: Random, wrong: float, *more: str
    ) -> tuple[Images, Any]:
        """What a model draws that was tuned with such votes, and what tuning cost."""
        place = folder / name
        write_voted(
            place / "dataset",
            {
                prompt: list(zip(_png(images), _useful(taste, images, chance, wrong), strict=True))
                for prompt, images in sets.items()
            },
        )
        cost = _tune(place, [*options.tune, *more])

        tuned_model = Drawer(place / "tuned", steps=options.steps)

        return tuned_model.drawn(held_out, seed=_OTHER), cost

    tastes = {}
    for number, name in enumerate(chain.from_iterable(pairs)):
        taste = TASTES[name]
        images, cost = tuned(name, taste, Random(_SEED + number), options.wrong)
        tastes[name] = {
            "wins": _wins(taste, images, base),
            "fidelity": fidelity(images),
            **cost,
        }
        _tell(name, tastes[name])

    controls = []
    for number in range(options.random_runs):
        sides = [
            tuned(
                f"random-{number}-{side}",
                TASTES[names[0]],
                Random(f"{number} {side}"),
                0.5,
                *("--fidelity", "none"),  # which costs most of the time, and can only end it early
            )[0]
            for side, names in enumerate(zip(*pairs, strict=True))
        ]
        shares = {
            name: _wins(TASTES[name], images, base)["share"]
            for pair in pairs
            for name, images in zip(pair, sides, strict=True)
        }
        controls.append({**shares, "mean": round(mean(shares.values()), 3)})
        _tell("random votes", controls[-1])

    figures = {
        "votes": _SLOTS * len(learned),
        "held_out_prompts": len(held_out),
        "fidelity_of_the_base": fidelity(again),
        "tastes": tastes,
        "random_votes": controls,
        "untuned": {name: _wins(taste, again, base) for name, taste in TASTES.items()},
    }

    return {**figures, "missed": missed_bars(figures)}


def missed_bars(figures: Mapping[str, Any]) -> list[str]:
    """The figures that miss their bars."""
    missed = []
    base = figures["fidelity_of_the_base"]
    for name, found in figures["tastes"].items():
        wins = found["wins"]
        if wins["share"] < LEAST_WINS or wins["low"] < LEAST_LOWER:
            missed.append(f"{name} wins {wins['share']:.0%}, at least {wins['low']:.0%}")

        if base - found["fidelity"] > MOST_FIDELITY_LOST:
            missed.append(f"{name} has a fidelity of {found['fidelity']:.1%}, the base {base:.1%}")

        if found["wall_s"] > MOST_SECONDS or found["most_bytes"] > MOST_BYTES:
            missed.append(f"{name} took {found['wall_s']} s, {found['most_bytes'] / 1e6:.0f} MB")

    average = mean(found["wins"]["share"] for found in figures["tastes"].values())
    if average < LEAST_MEAN:
        missed.append(f"the mean of the tastes is {average:.1%}")

    if figures["random_votes"]:
        control = mean(one["mean"] for one in figures["random_votes"])
        if abs(control - 0.5) > MOST_CONTROL_OFF:
            missed.append(f"random votes win {control:.1%}")

    for name, wins in figures["untuned"].items():
        if not wins["low"] <= 0.5 <= wins["high"]:
            missed.append(f"the base wins {wins['share']:.0%} against itself ({name})")

    return missed


def _tell(what: str, found: Mapping[str, Any]) -> None:
    """On standard error: it takes long, and may be interrupted."""
    sys.stderr.write(f"{what}: {json.dumps(found)}\n")


def _emoji(options: argparse.Namespace, folder: Path) -> Sequence[source.Emoji]:
    """Those that are drawn: all but flags, which hardly anybody asks for."""
    packages = options.packages or folder / "packages"

    return [one for one in source.fetched(packages) if one.group != source.FLAGS]


def _prompts(
    emoji: Sequence[source.Emoji], options: argparse.Namespace
) -> tuple[Sequence[str], Sequence[str]]:
    """Those that are learned, and those that `oxherd export` holds out."""
    prompts = [f"a {one.label}" for one in emoji]
    Random(_SEED).shuffle(prompts)
    splits = {prompt: split_of(same_prompt(prompt), Options()) for prompt in prompts}
    learned = [prompt for prompt in prompts if splits[prompt] == "train"]
    held_out = [prompt for prompt in prompts if splits[prompt] != "train"]

    return learned[: options.prompts], held_out[: options.held_out]


class Drawer:
    """A model that draws many prompts at once: on a CPU in half the time."""

    def __init__(self, model: Path, *, steps: int) -> None:
        spec = DiffusersSpec(model=str(model), dtype="float32")
        self._pipeline = load_pipeline(find_model(spec), spec, device="cpu")
        self._pipeline.set_progress_bar_config(disable=True)
        self._steps = steps

    def drawn(self, prompts: Sequence[str], *, seed: int) -> Images:
        """An image of each prompt."""
        return dict(zip(prompts, self.draw(prompts, seed=seed), strict=True))

    def draw(self, prompts: Sequence[str], *, seed: int) -> Sequence[Image.Image]:
        """The first with this seed, the next with the next one."""
        made: list[Image.Image] = []
        while len(made) < len(prompts):
            batch = prompts[len(made) : len(made) + _AT_ONCE]
            seeds = range(seed + len(made), seed + len(made) + len(batch))
            made += self._pipeline(
                prompt=list(batch),
                generator=[torch.Generator().manual_seed(one) for one in seeds],
                num_inference_steps=self._steps,
                guidance_scale=GUIDANCE,
                width=SIDE_PX,
                height=SIDE_PX,
            ).images

        return made


def _useful(
    taste: Taste, images: Sequence[Image.Image], chance: Random, wrong: float
) -> Sequence[bool]:
    """The votes on a set. Random ones are drawn again if all are alike: they would make no pair,
    and `oxherd tune` would find that votes are missing.
    """
    found = votes(taste, images, chance, wrong=wrong)
    while wrong == 0.5 and len(set(found)) == 1:
        found = votes(taste, images, chance, wrong=wrong)

    return found


def _png(images: Sequence[Image.Image]) -> Sequence[bytes]:
    files = []
    for image in images:
        out = io.BytesIO()
        image.save(out, "PNG")
        files.append(out.getvalue())

    return files


def _wins(taste: Taste, images: Images, base: Images) -> dict[str, float]:
    """How often an image is preferred to the base's, with the 95 % interval."""
    won = sum(prefers(taste, images[prompt], base[prompt]) for prompt in images)
    low, high = interval(won, len(images))

    return {
        "share": round(won / len(images), 3),
        "low": round(low, 3),
        "high": round(high, 3),
    }


def _tune(place: Path, options: Sequence[str]) -> dict[str, Any]:
    """What the command costs; memory is that of all its processes together."""
    command = [
        *(sys.executable, "-m", "bot", "tune", "--out", str(place / "tuned")),
        *("--dataset", str(place / "dataset"), "--base", MODEL.name, "--devices", "cpu"),
        *options,
    ]
    began = time.perf_counter()
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        tree = psutil.Process(process.pid)
        used = 0.0
        while process.poll() is None:
            try:
                alive = [tree, *tree.children(recursive=True)]
                most = max(most, sum(one.memory_info().rss for one in alive))
                used = max(used, sum(sum(one.cpu_times()[:2]) for one in alive))
            except psutil.NoSuchProcess:
                continue

            time.sleep(_POLL_S)

    if process.returncode:
        raise RuntimeError(f"oxherd tune failed with {process.returncode}")

    return {
        "wall_s": round(time.perf_counter() - began, 1),
        "processor_s": round(used, 1),
        "most_bytes": most,
    }


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.loop")
    parser.add_argument("--prompts", type=int, default=60, help="with four votes each")
    parser.add_argument("--held-out", type=int, default=200, help="prompts")
    parser.add_argument("--steps", type=int, default=8, help="of each image")
    parser.add_argument("--wrong", type=float, default=0.25, help="share of the votes")
    parser.add_argument("--pairs", type=int, default=len(OPPOSITES), help="of opposite tastes")
    parser.add_argument("--random-runs", type=int, default=5)
    parser.add_argument("--packages", type=Path, help="folder of npm packages fetched before")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a bar is missed")
    parser.add_argument("--tune", nargs=argparse.REMAINDER, default=[], help="options for tune")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("loop", parsed(), measure)


if __name__ == "__main__":
    main()

"""Evaluates the shipped model through the backend that the bot uses.

    python -m training.evaluate --sheets docs

Prints JSON. Needs the pictures and labels: it downloads them with npm, or takes what --pictures and
--labels name. Contact sheets go into the folder that --sheets names.
"""

import argparse
import io
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psutil
import torch
from diffusers import AutoencoderKL
from PIL import Image

from generation.diffusion.backend import DiffusersBackend
from generation.emoji import GUIDANCE, MODEL, STEPS
from generation.request import ImageRequest, Size
from generation.worker.specs import DiffusersSpec
from training import emoji as source
from training.codes import fit
from training.nearest import Gallery, least_apart, share_found, small
from training.sheets import write_sheet
from training.views import views_of

LABELS, VARIED, SEED = 200, 50, 20261125
VISIBLE = 10.0
"""Root mean square at 32x32, in levels of 255, from which two pictures differ visibly."""

SENTENCES = (
    "a happy dog in the rain",
    "my cat sleeps on the sofa",
    "a red car drives through the city",
    "there is a pizza on the table",
    "a rocket flies to the moon",
    "she gave me a beautiful rose",
    "an old man with a beard",
    "a big tree in the park",
    "I would like a cup of coffee",
    "the sun shines on the sea",
    "a penguin stands on the ice",
    "a strong elephant walks home",
    "a birthday cake with candles",
    "he plays the guitar at a party",
    "a blue fish swims in the water",
    "a house with a garden",
    "a snowman in winter",
    "two birds sing in the morning",
    "an apple a day",
    "a king wears his crown",
    "a bicycle leans against the wall",
    "a train arrives at the station",
    "a bee looks for a flower",
    "a ghost in an old castle",
    "a bunch of yellow bananas",
    "my broken heart",
    "a robot from the future",
    "a unicorn jumps over a rainbow",
    "a frog waits for a fly",
    "an astronaut far away from home",
    "a sleepy owl in the forest",
    "a glass of wine with friends",
    "a soccer ball in the grass",
    "a lion roars loudly",
    "a turtle crosses the road",
    "a hamburger and a cold drink",
    "a clever fox in the snow",
    "an umbrella keeps you dry",
    "a phone rings at night",
    "a book about dragons",
    "a crab walks along the beach",
    "the volcano is about to erupt",
    "a hot day in the desert with a cactus",
    "a butterfly lands on my hand",
    "a teddy bear for the baby",
    "a police car with a siren",
    "a slice of watermelon in summer",
    "a pair of glasses on a desk",
    "a lightning storm tonight",
    "a pirate flag on a ship",
)
"""Natural sentences; the model was not trained with any of them."""


class Painter:
    """The shipped model, called as the bot calls it. It is its own Watcher, which ignores all."""

    cancelled = False
    wants_preview = False

    def __init__(self, model: Path) -> None:
        self._backend = DiffusersBackend(DiffusersSpec(model=str(model)), device="cpu")
        self._backend.load()
        self._name = model.name
        self.seconds: list[float] = []

    def step_done(self, step: int, steps: int) -> None:
        """Ignored."""

    def preview(self, draw: Callable[[], bytes]) -> None:
        """Ignored."""

    def paint(self, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
        began = time.monotonic()
        made = self._backend.generate(
            ImageRequest(
                prompt=prompt,
                seeds=tuple(seeds),
                steps=STEPS,
                guidance_scale=GUIDANCE,
                size=Size(source.SIDE_PX, source.SIDE_PX),
                model=self._name,
            ),
            self,
        )
        self.seconds.append(time.monotonic() - began)

        return [Image.open(io.BytesIO(image.png)).convert("RGB") for image in made.images]


def evaluate(
    model: Path, emoji: Sequence[source.Emoji], sheets: Path | None, *, labels: int, varied: int
) -> dict[str, Any]:
    """The figures; the sheets are written where `sheets` says."""
    pixels = torch.from_numpy(np.stack([source.picture(one.file) for one in emoji]))
    views = views_of(pixels, emoji)
    gallery = Gallery(views)
    chosen = sorted(Random(SEED).sample(range(len(emoji)), labels))
    painter = Painter(model)

    originals = views[chosen, 0]
    of_codes, of_pictures = _redrawn(model, fit(views).encode(originals), originals)
    ceiling = gallery.nearest(small(of_codes), 5)
    drawn = {n: painter.paint(f"a {emoji[n].label}", [n])[0] for n in chosen}
    found = gallery.nearest(_smalls(drawn.values()), 5)

    asked = sorted(Random(SEED + 1).sample(range(len(emoji)), varied))
    fours = {n: painter.paint(f"a {emoji[n].label}", range(4)) for n in asked}
    apart = [least_apart(_smalls(four)) for four in fours.values()]
    sentences = {text: painter.paint(text, [1]) for text in SENTENCES}
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
        cells = [(emoji[n].label, [one]) for n, one in drawn.items()]
        write_sheet(sheets / "emoji-labels.png", cells, columns=20, picture_px=64)
        cells = [(emoji[n].label, four) for n, four in fours.items()]
        write_sheet(sheets / "emoji-seeds.png", cells, columns=5, picture_px=64)
        write_sheet(
            sheets / "emoji-sentences.png", list(sentences.items()), columns=10, picture_px=128
        )

    return {
        "labels": labels,
        "among_5_nearest": share_found(found, chosen),
        "nearest": share_found([row[:1] for row in found], chosen),
        "ceiling_among_5_nearest": share_found(ceiling, chosen),
        "ceiling_nearest": share_found([row[:1] for row in ceiling], chosen),
        "autoencoder_db": {
            "from_exact_codes": _decibels(of_codes, originals),
            "from_its_own_codes": _decibels(of_pictures, originals),
        },
        "prompts_of_four_seeds": varied,
        "all_four_differ_visibly": sum(one >= VISIBLE for one in apart) / varied,
        "least_apart_of_four_levels": {
            "median": round(float(np.median(apart)), 1),
            "least": round(min(apart), 1),
            "visible_from": VISIBLE,
        },
        "seconds_for_four": round(float(np.median(painter.seconds[labels : labels + varied])), 2),
        "memory_mb": _memory(model),
        "steps": STEPS,
        "guidance": GUIDANCE,
    }


def _redrawn(
    model: Path, codes: torch.Tensor, originals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How well the autoencoder decodes exact codes, and the codes that its encoder finds."""
    autoencoder = AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32)

    def drawn(all_codes: Iterable[torch.Tensor]) -> torch.Tensor:
        made = [autoencoder.decode(one[None]).sample[0] for one in all_codes]

        return (torch.stack(made).clamp(-1, 1) + 1) * 127.5

    with torch.no_grad():
        found = [
            autoencoder.encode(one[None].float() / 127.5 - 1).latent_dist.mean[0]
            for one in originals
        ]

        return drawn(codes), drawn(found)


def _decibels(drawn: torch.Tensor, originals: torch.Tensor) -> float:
    """The mean peak signal-to-noise ratio of the pictures, in dB."""
    squares = (drawn - originals).pow(2).flatten(1).mean(1)

    return round(float((10 * torch.log10(255**2 / squares)).mean()), 1)


def _memory(model: Path) -> dict[str, int]:
    """The memory of a process that loads the model and makes four images twice."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_memory_of_this_process, model).result()


def _memory_of_this_process(model: Path) -> dict[str, int]:
    painter = Painter(model)
    for prompt in SENTENCES[:2]:
        painter.paint(prompt, range(4))

    held = psutil.Process().memory_info()

    return {
        "resident": round(held.rss / 1e6),
        "not_shared_files": round((held.rss - held.shared) / 1e6),
    }


def _smalls(pictures: Any) -> Any:
    arrays = [np.asarray(picture) for picture in pictures]

    return small(torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--pictures", type=Path, help="folder of fluent-emoji-3d's WebP files")
    parser.add_argument("--labels", type=Path, help="emojibase-data's en/data.json")
    parser.add_argument("--work", type=Path, default=Path("emoji-training"))
    parser.add_argument("--sheets", type=Path)
    given = parser.parse_args()
    pictures, labels = (given.pictures, given.labels)
    if pictures is None or labels is None:
        pictures, labels = source.fetch(given.work / "packages")

    figures = evaluate(
        given.model, source.read(pictures, labels), given.sheets, labels=LABELS, varied=VARIED
    )
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Evaluates a model of emoji through the backend that the bot uses.

    python -m training.evaluate --sheets docs

Prints JSON; with --check it fails if a figure misses its bar. Downloads the drawings and labels
with npm. Contact sheets go into the folder that --sheets names. *Recognised* means that the
outlines are those of a right drawing, in any style, as generation/tuning/edges.py measures it; that
agrees with the eye better than the distance of pixels.
"""

import argparse
import io
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psutil
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image

from generation.diffusion.backend import DiffusersBackend
from generation.emoji import GUIDANCE, MODEL, STEPS
from generation.request import ImageRequest, Size
from generation.tuning.edges import RECOGNISED, likeness, outline
from generation.worker.specs import DiffusersSpec
from training import emoji as source
from training.sheets import write_sheet
from training.styles import SIDE_PX, STYLES, picture

LABELS, SEED = 200, 20261125
SEEDS = 4
"""Of each noun, and no two nouns have the same: the style comes with the seed."""

BARS: Mapping[tuple[str, str], float] = {
    ("nouns", "recognised"): 0.9,
    ("labels", "recognised"): 0.9,
    ("styles_of_four", "two_or_more"): 0.95,
    ("styles_of_four", "three_or_more"): 0.5,
}
"""The least that a successor must reach. And four images take at most:"""

SECONDS_FOR_FOUR = 5.0

NOUNS: Mapping[str, tuple[str, ...]] = {
    "cat": ("cat", "cat face", "black cat", "grinning cat"), "dog": ("dog", "dog face", "poodle"),
    "horse": ("horse", "horse face"), "cow": ("cow", "cow face"), "pig": ("pig", "pig face"),
    "chicken": ("chicken", "rooster"), "bird": ("bird", "black bird"), "fish": ("fish",),
    "mouse": ("mouse", "mouse face"), "rabbit": ("rabbit", "rabbit face"), "bear": ("bear",),
    "lion": ("lion",), "elephant": ("elephant",), "monkey": ("monkey", "monkey face"),
    "frog": ("frog",), "snake": ("snake",), "turtle": ("turtle",), "bee": ("honeybee",),
    "spider": ("spider",), "butterfly": ("butterfly",), "owl": ("owl",), "penguin": ("penguin",),
    "rose": ("rose",), "flower": ("tulip", "hibiscus", "sunflower", "blossom", "cherry blossom"),
    "tree": ("deciduous tree", "evergreen tree"), "apple": ("red apple", "green apple"),
    "banana": ("banana",), "lemon": ("lemon",), "strawberry": ("strawberry",),
    "tomato": ("tomato",), "carrot": ("carrot",), "bread": ("bread",), "cheese": ("cheese wedge",),
    "egg": ("egg",), "hamburger": ("hamburger",), "pizza": ("pizza",),
    "cake": ("birthday cake", "shortcake"), "cookie": ("cookie",), "coffee": ("hot beverage",),
    "cup of coffee": ("hot beverage",), "sun": ("sun", "sun with face"),
    "moon": ("crescent moon", "full moon", "first quarter moon face", "last quarter moon face"),
    "star": ("star", "glowing star"), "cloud": ("cloud",), "fire": ("fire",),
    "mountain": ("mountain", "snow-capped mountain"), "house": ("house", "house with garden"),
    "castle": ("castle",), "car": ("automobile", "oncoming automobile"), "bus": ("bus",),
    "train": ("train", "locomotive", "tram"), "bicycle": ("bicycle",),
    "airplane": ("airplane", "small airplane"), "boat": ("sailboat", "motor boat", "speedboat"),
    "clock": ("alarm clock", "mantelpiece clock"), "key": ("key", "old key"),
    "book": ("open book", "closed book", "blue book", "green book", "orange book"),
    "guitar": ("guitar",), "heart": ("red heart", "pink heart", "blue heart", "green heart"),
    "ball": ("soccer ball", "basketball", "volleyball", "baseball", "tennis"),
}  # fmt: skip
"""Sixty everyday nouns and the labels that count as right, written down before the training."""

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
    """The model, called as the bot calls it. It is its own Watcher, which ignores all."""

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
                size=Size(SIDE_PX, SIDE_PX),
                model=self._name,
            ),
            self,
        )
        self.seconds.append(time.monotonic() - began)

        return [Image.open(io.BytesIO(image.png)).convert("RGB") for image in made.images]


Outline = NDArray[np.float32]


class Gallery:
    """The drawings in all styles; each is drawn when it is first asked for."""

    def __init__(self, emoji: Sequence[source.Emoji]) -> None:
        self.emoji = emoji
        self._numbers = {one.label: number for number, one in enumerate(emoji)}
        self._seen: dict[int, Sequence[tuple[Outline, NDArray[np.float32]]]] = {}

    def likeness(self, image: Image.Image, labels: Sequence[str]) -> float:
        """With the most similar drawing of these labels."""
        return likeness(outline(image), [lines for lines, _ in chain(*self._of(labels))])

    def style(self, image: Image.Image, labels: Sequence[str]) -> str:
        """That of the drawing with the nearest colours."""
        seen = _small(image)
        apart = [
            (float(np.square(seen - colours).mean()), style.name)
            for drawn in self._of(labels)
            for style, (_, colours) in zip(STYLES, drawn, strict=True)
        ]

        return min(apart)[1]

    def _of(self, labels: Sequence[str]) -> list[Sequence[tuple[Outline, NDArray[np.float32]]]]:
        found = []
        for number in sorted(self._numbers[label] for label in labels if label in self._numbers):
            if number not in self._seen:
                drawn = [Image.fromarray(picture(one)) for one in self.emoji[number].drawings]
                self._seen[number] = [(outline(one), _small(one)) for one in drawn]

            found.append(self._seen[number])

        return found


def evaluate(
    model: Path, emoji: Sequence[source.Emoji], sheets: Path | None, *, labels: int = LABELS
) -> dict[str, Any]:
    """The figures; the sheets are written where `sheets` says."""
    gallery = Gallery(emoji)
    painter = Painter(model)
    fours = {
        noun: painter.paint(f"a {noun}", range(first, first + SEEDS))
        for noun, first in zip(NOUNS, count(1, SEEDS), strict=False)
    }
    of_nouns = [gallery.likeness(image, NOUNS[noun]) for noun in NOUNS for image in fours[noun]]
    styles = [
        len({gallery.style(image, NOUNS[noun]) for image in images})
        for noun, images in fours.items()
    ]
    seconds = round(float(np.median(painter.seconds)), 2)
    chosen = Random(SEED).sample(range(len(emoji)), min(labels, len(emoji)))
    drawn = {emoji[n].label: painter.paint(f"a {emoji[n].label}", [n])[0] for n in sorted(chosen)}
    of_labels = [gallery.likeness(image, [label]) for label, image in drawn.items()]
    sentences = {text: painter.paint(text, [seed]) for seed, text in enumerate(SENTENCES)}
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
        write_sheet(sheets / "emoji-nouns.png", list(fours.items()), columns=5, picture_px=64)
        cells = [(label, [one]) for label, one in drawn.items()]
        write_sheet(sheets / "emoji-labels.png", cells, columns=20, picture_px=64)
        write_sheet(
            sheets / "emoji-sentences.png", list(sentences.items()), columns=10, picture_px=128
        )

    return {
        "recognised_from": RECOGNISED,
        "nouns": _summary(of_nouns),
        "least_recognised_nouns": _least(of_nouns),
        "labels": _summary(of_labels),
        "autoencoder": _summary(_redrawn(model, gallery, chosen)),
        "styles_of_four": {
            "two_or_more": sum(one >= 2 for one in styles) / len(styles),
            "three_or_more": sum(one >= 3 for one in styles) / len(styles),
        },
        "seconds_for_four": seconds,
        "memory_mb": _memory(model),
        "steps": STEPS,
        "guidance": GUIDANCE,
    }


def missed(figures: Mapping[str, Any]) -> list[str]:
    """A sentence for each bar that is missed."""
    found = [
        f"{kind}, {name}: {figures[kind][name]:.3f}, must be {bar}"
        for (kind, name), bar in BARS.items()
        if figures[kind][name] < bar
    ]
    if figures["seconds_for_four"] > SECONDS_FOR_FOUR:
        found.append(f"seconds_for_four: {figures['seconds_for_four']}, must be {SECONDS_FOR_FOUR}")

    return found


def _summary(likenesses: Sequence[float]) -> dict[str, float]:
    return {
        "images": len(likenesses),
        "recognised": round(sum(one >= RECOGNISED for one in likenesses) / len(likenesses), 3),
        "median": round(float(np.median(likenesses)), 3),
        "least": round(min(likenesses), 3),
    }


def _least(of_nouns: Sequence[float]) -> dict[str, float]:
    """The ten nouns whose images are least like what they should be."""
    means = np.reshape(of_nouns, (-1, SEEDS)).mean(1)
    found = sorted(zip(map(float, means), NOUNS, strict=True))

    return {noun: round(mean, 2) for mean, noun in found[:10]}


def _redrawn(model: Path, gallery: Gallery, chosen: Sequence[int]) -> Sequence[float]:
    """How like a drawing is what the autoencoder makes of it: the best that a model can reach."""
    autoencoder = AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32)
    found = []
    for number in chosen:
        one = gallery.emoji[number]
        drawing = one.drawings[number % len(STYLES)]
        pixels = torch.from_numpy(picture(drawing)).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            code = autoencoder.encode(pixels / 127.5 - 1).latent_dist.mean
            made = ((autoencoder.decode(code).sample.clamp(-1, 1) + 1) * 127.5).round().byte()

        image = Image.fromarray(made[0].permute(1, 2, 0).numpy())
        found.append(gallery.likeness(image, [one.label]))

    return found


def _small(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image.resize((32, 32), Image.Resampling.BOX), dtype=np.float32)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--work", type=Path, default=Path("emoji-training"))
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--check", action="store_true", help="fail if a figure misses its bar")
    given = parser.parse_args()
    emoji = source.fetched(given.work / "packages")
    figures = evaluate(given.model, emoji, given.sheets)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    if given.check and (found := missed(figures)):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()

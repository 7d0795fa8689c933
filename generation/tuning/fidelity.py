"""Watches that prompts keep their meaning while a model is tuned.

A fixed list of prompts is drawn, always with the same seeds, and measured in points from 0 to 100.
None of the prompts is learned.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image

from generation.errors import BackendUnavailable, root_cause
from generation.tuning.edges import RECOGNISED, likeness, outline
from generation.tuning.progress import Tell

MOST_LOST = 2.0
"""Points. Training ends before it has lost more."""

PROMPTS = tuple(
    f"a {noun}"
    for noun in (
        *("cat", "dog", "lion", "horse", "cow", "bird", "fish", "bee", "spider", "rose", "tree"),
        *("house", "car", "bus", "bicycle", "boat", "book", "clock", "guitar", "pizza", "banana"),
        *("strawberry", "hamburger", "heart", "key"),
    )
)
SEEDS = (11, 12, 13, 14)
_OF_THE_BASE = (1, 2, 3, 4)

Draw = Callable[[str, Sequence[int]], Sequence[Image.Image]]
"""Draws a prompt with these seeds."""

Drawn = Mapping[str, Sequence[Image.Image]]


class Measure(Protocol):
    """How well images show their prompts."""

    @property
    def name(self) -> str: ...

    def points(self, images: Drawn) -> float: ...


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen after so many steps."""

    step: int
    points: float


class EdgesMeasure:
    """The share of images whose outlines are those of an image that the base made of the prompt.

    For a model that draws one thing, such as the emoji. It needs no other model and no pictures.
    """

    name = "outlines of the base's own images"

    def __init__(self, draw: Draw, prompts: Sequence[str], tell: Tell) -> None:
        """draw: with the base, whose images are kept to compare with."""
        self._right = {
            prompt: [outline(image) for image in images]
            for prompt, images in drawn(draw, prompts, _OF_THE_BASE, tell).items()
        }

    def points(self, images: Drawn) -> float:
        alike = [
            likeness(outline(image), self._right[prompt]) >= RECOGNISED
            for prompt, made in images.items()
            for image in made
        ]

        return 100 * sum(alike) / len(alike)


class ImageTextMeasure:
    """The mean cosine of image and prompt in a model such as CLIP, times 100."""

    def __init__(self, model: str, *, device: str) -> None:
        """Raises BackendUnavailable for a model that cannot be loaded."""
        from transformers import AutoModel, AutoProcessor

        self.name = f"image-text score of {model.rstrip('/').rpartition('/')[2]}"
        self._device = device
        try:
            self._processor = AutoProcessor.from_pretrained(model)
            self._model: Any = AutoModel.from_pretrained(model, use_safetensors=True).to(device)
        except Exception as exc:
            raise BackendUnavailable(
                f"The image-text model {model!r} cannot be loaded: {root_cause(exc)}"
            ) from exc

    def points(self, images: Drawn) -> float:
        with torch.no_grad():
            means = [self._score(prompt, made) for prompt, made in images.items()]

        return sum(means) / len(means)

    def _score(self, prompt: str, images: Sequence[Image.Image]) -> float:
        given = self._processor(
            text=[prompt], images=list(images), padding="max_length", truncation=True,
            return_tensors="pt",
        ).to(self._device)  # fmt: skip
        seen = self._model(**given)
        of_images = torch.nn.functional.normalize(seen.image_embeds, dim=-1)
        of_text = torch.nn.functional.normalize(seen.text_embeds, dim=-1)

        return float(100 * (of_images @ of_text.T).mean())


def drawn(draw: Draw, prompts: Sequence[str], seeds: Sequence[int], tell: Tell) -> Drawn:
    """The images of these prompts, each with all seeds."""
    images = {}
    for done, prompt in enumerate(prompts):
        tell("looking at fidelity", done, len(prompts))
        images[prompt] = draw(prompt, seeds)

    return images

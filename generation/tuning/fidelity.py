"""Watches that prompts keep their meaning while a model is tuned.

A fixed list of prompts is drawn by the base, and a few times by what it became. The seeds are the
same, so the two differ by the tuning alone. Both are measured in points of 100.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image

from generation.errors import BackendUnavailable, root_cause
from generation.tuning.edges import likeness, outline
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
SEEDS, OTHER_SEEDS = (1, 2), (5, 6, 7, 8)

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


@dataclass(frozen=True, slots=True)
class Watch:
    """What looks at fidelity while a model learns. before: the points of the base."""

    measured_by: str
    before: float
    look: Callable[[], float]


class EdgesMeasure:
    """How like the outlines of images are to those that the base makes of the prompt.

    The mean correlation with the nearest of the base's, times 100. For a model that draws one thing
    in a few styles, such as the emoji: in which of them does not count. It needs no other model and
    no pictures.
    """

    name = "likeness of outlines to the base's own images"

    def __init__(self, base: Drawn) -> None:
        """base: what it makes of all prompts, in each style, with other seeds."""
        self._base = {prompt: [outline(image) for image in made] for prompt, made in base.items()}

    def points(self, images: Drawn) -> float:
        found = [
            likeness(outline(image), self._base[prompt])
            for prompt, made in images.items()
            for image in made
        ]

        return 100 * sum(found) / len(found)


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

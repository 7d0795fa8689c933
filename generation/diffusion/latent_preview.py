"""What a model's latents look like, nearly, without its decoder.

A linear map from the latents' channels to red, green and blue, fitted by least squares to images
that the model made: each finished request has its last latents and its decoded images, a few
thousand pairs, for nothing. So there is no table of factors to be right or wrong for a model, and
nothing has to be made for the fit alone. The price: the first request that a model ever makes has
no preview. What was learnt is kept by the model's revision.
"""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from generation.diffusion.engine import Picture, Stage
from generation.preview_picture import one_picture
from generation.worker.backend import Watcher

log = logging.getLogger(__name__)

ENOUGH_IMAGES = 32
"""After so many nothing more is learnt: the fit has four or five numbers for each colour."""

_RIDGE = 1e-6
"""Against channels that say nothing or the same, relative to the latents' own size."""


class LatentColours:
    """The fit for one model, learning until it has seen enough images.

    What is kept is the moments of the pairs, so that images can be added: with x the channels and
    a one, and y the colours from 0 to 1, the sums of x xT (gram), x yT (cross), and y y (squares).

    file: where they are kept for the next start; None keeps nothing. One that cannot be read is
        made anew, and one that cannot be written is told once and done without.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._images = 0
        self._gram: Any = None
        self._cross: Any = None
        self._squares: Any = None
        self._map: Any = None
        self._load()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to draw with."""
        return self._map is not None

    @property
    def wants_more(self) -> bool:
        """Whether `learn` still makes a difference."""
        return self._images < ENOUGH_IMAGES

    def learn(self, latents: Any, pictures: Sequence[Image.Image]) -> None:
        """Add the final latents, [images, channels, height, width], and what they decoded to."""
        x = _with_one(latents.detach().float().cpu())
        y = torch.cat([_mean_colours(picture, latents.shape[-2:]) for picture in pictures])
        if self._gram is None or len(self._gram) != x.shape[1]:
            self._images = 0
            self._gram, self._cross, self._squares = x.T @ x, x.T @ y, (y * y).sum(0)
        else:
            self._gram, self._cross = self._gram + x.T @ x, self._cross + x.T @ y
            self._squares = self._squares + (y * y).sum(0)

        self._images += len(pictures)
        self._fit()
        self._save()

    def draw(self, latents: Any) -> list[Image.Image]:
        """A picture for each, as many pixels as there are latents. Only when `is_ready`."""
        count, _, height, width = latents.shape
        colours = _with_one(latents.detach().float().cpu()) @ self._map
        levels = (colours.clamp(0, 1) * 255).round().to(torch.uint8)

        return [
            Image.frombytes("RGB", (width, height), bytes(each.flatten().tolist()))
            for each in levels.view(count, height * width * 3)
        ]

    def r_squared(self) -> tuple[float, ...]:
        """How much of the variance of red, green and blue the fit explains; 1 is all of it.

        Only when `is_ready`.
        """
        count = self._gram[-1, -1]
        means = self._cross[-1] / count
        total = self._squares - count * means**2
        explained = 2 * (self._map * self._cross).sum(0)
        rest = self._squares - explained + ((self._gram @ self._map) * self._map).sum(0)

        return tuple((1 - rest / total).tolist())

    def _fit(self) -> None:
        size = self._gram.diagonal() + self._gram[-1, -1]
        self._map = torch.linalg.solve(self._gram + _RIDGE * torch.diag(size), self._cross)

    def _load(self) -> None:
        if self._file is None or not self._file.exists():
            return

        try:
            kept = json.loads(self._file.read_bytes())
            self._images = int(kept["images"])
            self._gram, self._cross, self._squares = (
                torch.tensor(kept[name], dtype=torch.float64)
                for name in ("gram", "cross", "squares")
            )
            self._fit()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as exc:
            log.warning("%s cannot be used and is made anew: %s", self._file, exc)
            self._images, self._gram, self._map = 0, None, None

    def _save(self) -> None:
        if self._file is None:
            return

        kept = {
            "images": self._images,
            "gram": self._gram.tolist(),
            "cross": self._cross.tolist(),
            "squares": self._squares.tolist(),
        }
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside = self._file.with_suffix(f".{os.getpid()}")  # each device has its worker
            beside.write_text(json.dumps(kept), encoding="ascii")
            beside.replace(self._file)
        except OSError as exc:
            log.warning("%s cannot be written: %s", self._file, exc)
            self._file = None


class LatentPreviews:
    """Draws previews of what one loaded model makes, once it has made something."""

    def __init__(self, colours: LatentColours, *, device: str) -> None:
        self._colours = colours
        self._device = device

    def offer(self, stage: Stage, watcher: Watcher) -> None:
        """Draw one, if it can be and is wanted now."""
        if not self._colours.is_ready or not watcher.wants_preview:
            return

        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)  # its steps' time is not the preview's

        if stage.expected() is not None:
            watcher.preview(lambda: one_picture(self._colours.draw(stage.expected())))

    def learn(self, stage: Stage, pictures: Sequence[Picture]) -> None:
        """The batch is finished: this is what it decoded to. Pictures made black teach nothing."""
        kept = [number for number, picture in enumerate(pictures) if not picture.flagged]
        if self._colours.wants_more and kept and len(stage.latents) == len(pictures):
            latents = stage.latents[kept].detach()
            if latents.isfinite().all():
                self._colours.learn(latents, [pictures[number].image for number in kept])


def _with_one(latents: Any) -> Any:
    """[images, channels, height, width] as [images · height · width, channels + 1], in float64."""
    rows = latents.permute(0, 2, 3, 1).flatten(0, 2).double()

    return torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], dim=1)


def _mean_colours(picture: Image.Image, size: Sequence[int]) -> Any:
    """[height · width, 3], 0 to 1: the mean of the pixels that each latent stands for."""
    height, width = size
    small = picture.convert("RGB").resize((width, height), Image.Resampling.BOX)
    levels = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)

    return levels.view(height * width, 3).double() / 255

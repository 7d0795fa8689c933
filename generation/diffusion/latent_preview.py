"""Previews of a model's latents without its decoder.

A linear map from the latents' channels to red, green and blue, fitted by least squares to images
that the model made: each finished request provides its final latents and its decoded images, a few
thousand pairs, at no extra cost. So no table of factors for known models is needed. The price is
that the first request to a model has no preview. The fit is kept under the model's revision.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from generation.atomic_write import atomic_write
from generation.diffusion.engine import DecodedImage, Stage
from generation.image_files import preview_jpeg
from generation.worker.backend import Watcher
from generation.worker.specs import DiffusersSpec

log = logging.getLogger(__name__)

ENOUGH_IMAGES = 32
"""More teach nothing: the fit has only four or five parameters for each colour."""

_RIDGE = 1e-6
"""Regularises constant and collinear channels, relative to the size of the latents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moments:
    """Sums over all pairs, to which more can be added, in float64.

    x is a latent's channels and a one, y its colours from 0 to 1. gram: the sum of x xT, [channels
    + 1, channels + 1]. cross: of x yT, [channels + 1, 3]. squares: of y y, [3].
    """

    images: int
    gram: torch.Tensor
    cross: torch.Tensor
    squares: torch.Tensor

    def plus(self, other: "_Moments") -> "_Moments":
        return _Moments(
            images=self.images + other.images,
            gram=self.gram + other.gram,
            cross=self.cross + other.cross,
            squares=self.squares + other.squares,
        )

    def fit(self) -> torch.Tensor:
        """[channels + 1, 3]. Raises RuntimeError for moments that do not belong together."""
        size = self.gram.diagonal() + self.gram[-1, -1]

        fitted: torch.Tensor = torch.linalg.solve(self.gram + _RIDGE * torch.diag(size), self.cross)

        return fitted


class LatentColours:
    """The linear map of one model, which learns until it has seen enough images.

    file: where the fit is kept for the next start; None for nowhere. A file that cannot be read is
        replaced, and one that cannot be written is logged once and given up.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._moments: _Moments | None = None
        self._map: torch.Tensor | None = None
        self._load()

    @property
    def is_ready(self) -> bool:
        """Whether `draw` may be called."""
        return self._map is not None

    @property
    def wants_more(self) -> bool:
        """Whether `learn` still makes a difference."""
        return self._moments is None or self._moments.images < ENOUGH_IMAGES

    def learn(self, latents: torch.Tensor, images: Sequence[Image.Image]) -> None:
        """Add final latents, [images, channels, height, width], and their decoded images."""
        x = _with_one(latents.detach().float().cpu())
        y = torch.cat([_mean_colours(image, latents.shape[-2:]) for image in images])
        new = _Moments(images=len(images), gram=x.T @ x, cross=x.T @ y, squares=(y * y).sum(0))
        if self._moments is None or len(self._moments.gram) != len(new.gram):
            self._moments = new
        else:
            self._moments = self._moments.plus(new)

        self._map = self._moments.fit()
        self._save(self._moments)

    def draw(self, latents: torch.Tensor) -> list[Image.Image]:
        """An image for each of [images, channels, height, width], one pixel per latent.

        Only when `is_ready`.
        """
        assert self._map is not None, "learn comes first"
        count, _, height, width = latents.shape
        colours = _with_one(latents.detach().float().cpu()) @ self._map
        levels = (colours.clamp(0, 1) * 255).round().to(torch.uint8)

        return [
            Image.frombytes("RGB", (width, height), bytes(each.flatten().tolist()))
            for each in levels.view(count, height * width * 3)
        ]

    def r_squared(self) -> tuple[float, ...]:
        """The share of the variance of red, green and blue that the fit explains, at most 1.

        Only when `is_ready`.
        """
        assert self._map is not None
        assert self._moments is not None
        gram, cross = self._moments.gram, self._moments.cross
        count = gram[-1, -1]
        means = cross[-1] / count
        total = self._moments.squares - count * means**2
        explained = 2 * (self._map * cross).sum(0)
        rest = self._moments.squares - explained + ((gram @ self._map) * self._map).sum(0)

        return tuple((1 - rest / total).tolist())

    def _load(self) -> None:
        if self._file is None or not self._file.exists():
            return

        try:
            kept = json.loads(self._file.read_bytes())
            gram, cross, squares = (
                torch.tensor(kept[name], dtype=torch.float64)
                for name in ("gram", "cross", "squares")
            )
            moments = _Moments(images=int(kept["images"]), gram=gram, cross=cross, squares=squares)
            self._map = moments.fit()
            self._moments = moments
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as exc:
            log.warning("%s cannot be read and will be replaced: %s", self._file, exc)

    def _save(self, moments: _Moments) -> None:
        if self._file is None:
            return

        kept = {
            "images": moments.images,
            "gram": moments.gram.tolist(),
            "cross": moments.cross.tolist(),
            "squares": moments.squares.tolist(),
        }
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._file) as unfinished:  # each device has its own worker
                unfinished.write_text(json.dumps(kept), encoding="ascii")
        except OSError as exc:
            log.warning("%s cannot be written: %s", self._file, exc)
            self._file = None


class LatentPreviews:
    """Draws previews for one loaded model, once it has made an image."""

    def __init__(self, colours: LatentColours, *, device: str) -> None:
        self._colours = colours
        self._device = device

    def offer(self, stage: Stage, watcher: Watcher) -> None:
        """Draw a preview of the stage, if the watcher wants one and it can be drawn."""
        if not self._colours.is_ready or not watcher.wants_preview:
            return

        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)  # the steps' time is not the preview's

        latents = stage.expected()
        if latents is not None:
            watcher.preview(lambda: preview_jpeg(self._colours.draw(latents)))

    def learn(self, stage: Stage, images: Sequence[DecodedImage]) -> None:
        """Learn from a finished batch; images that the safety checker made black are left out."""
        kept = [number for number, image in enumerate(images) if not image.flagged]
        if self._colours.wants_more and kept and len(stage.latents) == len(images):
            latents = stage.latents[kept].detach()
            if latents.isfinite().all():
                self._colours.learn(latents, [images[number].image for number in kept])


def open_previews(
    spec: DiffusersSpec, pipeline: DiffusionPipeline, revision: str, *, device: str
) -> LatentPreviews | None:
    """Previews for the model, or None where they are off or may show what would be withheld."""
    if spec.preview == "never":
        return None

    if spec.preview == "auto" and getattr(pipeline, "safety_checker", None) is not None:
        log.info("%s has a safety checker, so there are no previews", spec.model)
        return None

    file = spec.preview_factors and spec.preview_factors / f"{revision}.json"

    return LatentPreviews(LatentColours(file), device=device)


def _with_one(latents: torch.Tensor) -> torch.Tensor:
    """[images, channels, height, width] as [images · height · width, channels + 1], in float64."""
    rows = latents.permute(0, 2, 3, 1).flatten(0, 2).double()

    return torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], dim=1)


def _mean_colours(image: Image.Image, size: Sequence[int]) -> torch.Tensor:
    """[height · width, 3] from 0 to 1: the mean colour of the pixels of each latent.

    size: height and width of the latents.
    """
    height, width = size
    small = image.convert("RGB").resize((width, height), Image.Resampling.BOX)
    levels = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)

    return levels.view(height * width, 3).double() / 255

"""The pairs that are learned: read from an export, encoded once, drawn in batches."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from generation.diffusion.prompts import Conditioning, OneEncoder, TwoEncoders
from generation.diffusion.vae import Encoder
from generation.request import ImageRequest, Size
from generation.tuning.dpo import Rows
from generation.tuning.progress import Tell


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images of one prompt and size, by their files."""

    prompt: str
    better: Path
    worse: Path
    size: Size


def read_pairs(votes: Path) -> Sequence[Pair]:
    """The pairs of the training split; see `job.PAIRS`. Those of the others are in other files."""
    sizes: dict[Path, Size] = {}

    def size_of(file: Path) -> Size:
        if file not in sizes:
            with Image.open(file) as image:
                sizes[file] = Size(*image.size)

        return sizes[file]

    rows = json.loads((votes / "train.json").read_text(encoding="utf-8"))
    found = [
        Pair(row["prompt"], *_files(votes, row), size_of(_files(votes, row)[0])) for row in rows
    ]

    return [pair for pair in found if size_of(pair.worse) == pair.size]


def _files(votes: Path, row: dict[str, str]) -> tuple[Path, Path]:
    return votes / row["path1"], votes / row["path2"]


def draw(pairs: Sequence[Pair], count: int, *, seed: int, step: int) -> Sequence[Pair]:
    """The pairs of a step, all of one size. The same step draws the same."""
    random = Random(f"{seed} {step}")
    size = random.choice(pairs).size
    fitting = [pair for pair in pairs if pair.size == size]

    return random.sample(fitting, min(count, len(fitting)))


class Encoded:
    """The pairs as the UNet sees them: latents of all images, and conditions of prompts."""

    def __init__(
        self, pairs: Sequence[Pair], pipeline: DiffusionPipeline, *, device: str, tell: Tell
    ) -> None:
        is_xl = hasattr(pipeline, "text_encoder_2")
        self._conditioning: Conditioning = (TwoEncoders if is_xl else OneEncoder)(pipeline, device)
        self._device = device
        self._latents: dict[Path, torch.Tensor] = {}
        encoder = Encoder(pipeline, device=device, is_xl=is_xl)
        sizes = {file: pair.size for pair in pairs for file in (pair.better, pair.worse)}
        for done, (file, size) in enumerate(sizes.items()):
            tell("encoding images", done, len(sizes))
            with torch.no_grad(), Image.open(file) as image:
                generator = torch.Generator("cpu").manual_seed(0)
                latents = encoder.latents(image.convert("RGB"), size, [generator], torch.float32)
                self._latents[file] = latents[0].cpu()

    def rows(self, pairs: Sequence[Pair]) -> Rows:
        """The better images, then the worse ones."""
        files = [pair.better for pair in pairs] + [pair.worse for pair in pairs]
        with torch.no_grad():
            conditions = [self._conditioning.encode(_request(pair), guided=False) for pair in pairs]

        added = None
        if conditions[0].added is not None:
            names = conditions[0].added.keys()
            added = {
                name: torch.cat([one.added[name] for one in conditions if one.added]).repeat(2, 1)
                for name in names
            }

        return Rows(
            latents=torch.stack([self._latents[file] for file in files]).to(self._device),
            embeds=torch.cat([one.embeds for one in conditions]).repeat(2, 1, 1),
            added=added,
        )


def _request(pair: Pair) -> ImageRequest:
    return ImageRequest(prompt=pair.prompt, seeds=(0,), size=pair.size, model="")

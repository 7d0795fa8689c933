"""Backends that compile, and what they make."""

import io
from pathlib import Path

from PIL import Image, ImageChops

from generation.diffusion.backend import DiffusersBackend
from generation.request import Made, Size
from generation.worker.specs import Compile, DiffusersSpec
from tests.support.generation.requests import Onlooker, a_request

COMPILES_WITHIN_S = 900.0
SIDE_PX = 16


def spec_of(model: Path, folder: Path, compile: Compile = "on") -> DiffusersSpec:
    return DiffusersSpec(
        model=str(model),
        compile=compile,
        compiled_folder=folder,
        compiled_size=Size(SIDE_PX, SIDE_PX),
    )


def opened(
    model: Path, folder: Path, compile: Compile = "on", device: str = "cpu"
) -> DiffusersBackend:
    backend = DiffusersBackend(spec_of(model, folder, compile), device=device)
    backend.load()

    return backend


def serving(backend: DiffusersBackend) -> str:
    """How the backend says that it serves, after what it does between two requests."""
    return backend.between_requests(lambda phrase: None)


def make(backend: DiffusersBackend, *, seeds: tuple[int, ...] = (1, 2, 3, 4)) -> Made:
    request = a_request("a fox", seeds=seeds, steps=4, side_px=SIDE_PX)

    return backend.generate(request, Onlooker())


def largest_difference(one: Made, other: Made) -> int:
    pairs = zip(one.images, other.images, strict=True)

    return max(
        max(ImageChops.difference(opened_png(a.png), opened_png(b.png)).tobytes()) for a, b in pairs
    )


def opened_png(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def engine_of(made: Made) -> str:
    return made.provenance.versions["engine"]

"""The model that ships with oxherd: whole, small, offline, and the same again."""

import hashlib
import io
import json
import re
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generation.diffusion.backend import DiffusersBackend
from generation.emoji import GUIDANCE, MODEL, SIDE_PX, STEPS
from generation.request import ImageRequest, Made, Size
from generation.worker.specs import DiffusersSpec
from tests.support.discord.world import image_ids, seen, set_button, text_of, world
from tests.support.generation.requests import Onlooker

# diffusers makes arrays of tensors in a way that numpy announces as going away.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MEGABYTE = 10**6


@pytest.fixture(scope="module")
def backend() -> DiffusersBackend:
    backend = DiffusersBackend(spec(), device="cpu")
    backend.load()

    return backend


def spec() -> DiffusersSpec:
    return DiffusersSpec(model=str(MODEL))


def painted(backend: DiffusersBackend, prompt: str, *seeds: int, steps: int = STEPS) -> Made:
    request = ImageRequest(
        prompt=prompt,
        seeds=seeds,
        steps=steps,
        guidance_scale=GUIDANCE,
        size=Size(SIDE_PX, SIDE_PX),
        model=MODEL.name,
    )

    return backend.generate(request, Onlooker())


def test_its_files_are_those_whose_hashes_were_recorded() -> None:
    lines = [line.split("  ") for line in (MODEL / "SHA256SUMS").read_text().splitlines()]
    recorded = {file: digest for digest, file in lines}
    present = {
        file.relative_to(MODEL).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in MODEL.rglob("*")
        if file.is_file() and file.name not in ("SHA256SUMS", "README.md", "NOTICE")
    }

    assert present == recorded


def test_its_weights_are_at_most_40_mb() -> None:
    weights = list(MODEL.rglob("*.safetensors"))

    assert len(weights) == 3
    assert sum(file.stat().st_size for file in weights) <= 40 * MEGABYTE


def test_it_holds_only_stock_classes_and_no_path_of_a_machine() -> None:
    index = json.loads((MODEL / "model_index.json").read_text())
    parts = {name: part for name, part in index.items() if isinstance(part, list) and part[0]}

    assert {library for library, _ in parts.values()} == {"diffusers", "transformers"}
    for file in MODEL.rglob("*.json"):
        assert not re.search(r'": "(/|~|[A-Za-z]:\\)', file.read_text()), file


def test_it_says_whose_pictures_it_learnt_from() -> None:
    notice, card = (MODEL / "NOTICE").read_text(), (MODEL / "README.md").read_text()

    for text in (notice, card):
        for name in ("Microsoft", "LobeHub", "Miles Johnson"):
            assert name in text

    assert notice.count("Permission is hereby granted") == 3
    assert "Google" in notice
    assert "Google" in card
    assert "Apache License" in notice


def test_it_loads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert DiffusersBackend(spec(), device="cpu").load().revision.startswith("sha256:")


def test_the_same_seed_makes_the_same_bytes_twice(backend: DiffusersBackend) -> None:
    first = painted(backend, "a red apple", 1, 2).images

    assert painted(backend, "a red apple", 1, 2).images == first
    assert first[0].png != first[1].png


def test_it_draws_at_its_size_on_white(backend: DiffusersBackend) -> None:
    [image] = painted(backend, "a red apple", 1).images
    picture = Image.open(io.BytesIO(image.png)).convert("RGB")

    assert picture.size == (SIDE_PX, SIDE_PX)
    levels = np.asarray(picture)
    assert levels[2:10, 2:10].mean() > 240
    assert levels.min() < 150


@pytest.mark.parametrize("prompt", ["qwzxy", "日本の猫", "🦊🦊", "?!", "x" * 300], ids=ascii)
def test_unknown_words_make_a_picture_all_the_same(backend: DiffusersBackend, prompt: str) -> None:
    assert len(painted(backend, prompt, 1, steps=2).images) == 1


def test_of_500_characters_it_says_what_it_read(backend: DiffusersBackend) -> None:
    prompt = ("a happy dog in the rain " * 30)[:500]
    read = int(painted(backend, prompt, 1, steps=2).provenance.versions["prompt_read"])

    assert 0 < read < 500
    assert prompt[:read].endswith(("a", "happy", "dog", "in", "the", "rain"))
    alike = painted(backend, prompt[:read], 1, steps=2)
    assert alike.images == painted(backend, prompt, 1, steps=2).images
    assert "prompt_read" not in alike.provenance.versions


@pytest.mark.stalls("the model holds the interpreter's lock, as it never does in the bot")
async def test_a_member_is_told_what_of_a_long_prompt_was_not_read(tmp_path: Path) -> None:
    told = re.compile(r"The model read only the first \d+ of 500 characters of the prompt")
    changes = {
        "backend": "diffusers",
        "model": str(MODEL),
        "sizes": f"{SIDE_PX}x{SIDE_PX}",
        "default_steps": 2,
    }
    async with world(tmp_path, **changes) as w:
        message = await w.imagine(w.alice, ("a happy dog in the rain " * 30)[:500])
        details = await w.bob.click(message, custom_id=set_button(message, "details"))

        assert len(image_ids(message)) == 4
        assert told.search(text_of(message))
        assert told.search(text_of(seen(details).message))

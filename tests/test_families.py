"""Every family with tiny random weights, through the whole backend: what a row says is what was
made, and it can be made again from the row."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from diffusers import PixArtAlphaPipeline

from bot.cli.replay import request_of, spec_of
from bot.settings import Settings
from docs.generate import NOT_TRIED
from generation.diffusion.backend import DiffusersBackend
from generation.errors import Cancelled, NoNegativePrompt
from generation.families import FAMILIES
from generation.request import Made
from generation.worker.specs import DiffusersSpec
from tests.support.generation.recorded import recorded_as
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_families import TINY_FAMILIES, save_tiny_family

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIDE_PX = 64
LOW, HIGH = 2.0, 30.0

NO_GUIDANCE = {"flux-schnell", "flux2-klein"}
NO_NEGATIVE_PROMPT = {
    *("sd-told-guidance", "lcm", "sana-sprint"),
    *("flux-schnell", "flux-dev", "flux2-dev", "flux2-klein", "flux2-klein-base"),
}
OFTEN = ("flux-schnell", "qwen-image")
"""The families of the ordinary suite: no guidance, and guidance under another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    name: str
    folder: Path
    backend: DiffusersBackend

    def made(self, **changes: Any) -> Made:
        request = replace(
            a_request("a fox", seeds=(1, 2), steps=2, side_px=SIDE_PX),
            **({"guidance_scale": None} | changes),
        )

        return self.backend.generate(request, Onlooker())


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in OFTEN else pytest.mark.long)
        for name in TINY_FAMILIES
    ],
)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = save_tiny_family(request.param, tmp_path_factory.mktemp(request.param))
    backend = DiffusersBackend(DiffusersSpec(model=str(folder)), device="cpu")
    backend.load()
    yield Served(name=request.param, folder=folder, backend=backend)
    backend.unload()


def test_it_makes_the_same_bytes_again_and_reports_every_step(served: Served) -> None:
    onlooker = Onlooker()

    first = served.backend.generate(a_request("a fox", seeds=(1, 2), steps=2, side_px=64), onlooker)

    assert first.images[0].png != first.images[1].png
    assert [done for done, _ in onlooker.steps] == list(range(1, onlooker.steps[-1][1] + 1))
    again = served.backend.generate(first.request, Onlooker())
    assert again == first


def test_it_stops_between_two_steps_and_the_next_picture_is_as_ever(served: Served) -> None:
    before = served.made().images

    with pytest.raises(Cancelled):
        served.backend.generate(a_request("a fox", side_px=SIDE_PX), Onlooker(cancel_after=1))

    assert served.made().images == before


def test_guidance_has_an_effect_or_is_not_recorded(served: Served) -> None:
    low, high = (served.made(guidance_scale=scale) for scale in (LOW, HIGH))

    if served.name in NO_GUIDANCE:
        assert low.request.guidance_scale is high.request.guidance_scale is None
        assert low.images == high.images
    else:
        assert (low.request.guidance_scale, high.request.guidance_scale) == (LOW, HIGH)
        assert low.images != high.images


def test_a_negative_prompt_has_an_effect_or_is_refused(served: Served) -> None:
    if served.name in NO_NEGATIVE_PROMPT:
        with pytest.raises(NoNegativePrompt, match="has no use for a negative prompt"):
            served.made(guidance_scale=HIGH, negative_prompt="snow")
    else:
        without, with_it = (
            served.made(guidance_scale=HIGH, negative_prompt=text) for text in ("", "snow")
        )
        assert with_it.request.negative_prompt == "snow"
        assert with_it.images != without.images


def test_a_negative_prompt_without_guidance_is_not_recorded(served: Served) -> None:
    if served.name in NO_NEGATIVE_PROMPT:
        return

    without, with_it = (
        served.made(guidance_scale=0.0, negative_prompt=text) for text in ("", "snow")
    )

    assert with_it == without
    assert with_it.request.negative_prompt == ""


def test_the_row_alone_makes_the_image_again(served: Served) -> None:
    made = served.made(guidance_scale=HIGH)
    recorded = recorded_as(made, slot=2)

    request, index = request_of(recorded)
    settings = Settings(model=str(served.folder))
    spec = spec_of(recorded, settings, compiled=served.folder)
    assert isinstance(spec, DiffusersSpec)
    backend = DiffusersBackend(spec, device="cpu")
    backend.load()
    again = backend.generate(request, Onlooker())

    assert again.images[index].png == made.images[1].png
    assert again.provenance == made.provenance


@pytest.mark.long
def test_a_pipeline_that_the_table_does_not_know_is_served_by_its_signature(tmp_path: Path) -> None:
    parts = TINY_FAMILIES["pixart"](tmp_path).components
    PixArtAlphaPipeline(**parts).save_pretrained(tmp_path / "alpha")
    backend = DiffusersBackend(DiffusersSpec(model=str(tmp_path / "alpha")), device="cpu")
    backend.load()
    served = Served(name="alpha", folder=tmp_path / "alpha", backend=backend)

    made = served.made()

    assert made.request.guidance_scale == 4.5
    assert served.made(guidance_scale=4.5) == made
    assert served.made(negative_prompt="snow").request.negative_prompt == "snow"


def test_all_families_and_variants_are_tried() -> None:
    known = {
        takes.family
        for family in FAMILIES
        for takes in (family.takes, *(variant.takes for variant in family.variants))
    }

    assert len(known - set(NOT_TRIED)) == len(TINY_FAMILIES)

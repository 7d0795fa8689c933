"""A family that our own loop does not know is served by its diffusers pipeline."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.batching import Batching
from generation.diffusion.pipeline_engine import PipelineEngine
from generation.errors import Cancelled, CannotVary
from generation.families import UNKNOWN
from generation.image_files import finished_image
from generation.request import ImageRequest, Variation
from generation.worker.specs import DiffusersSpec
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_model import SIDE_PX, tiny_stable_diffusion_3

REQUEST: ImageRequest = a_request("a fox", seeds=(1, 2), steps=3, side_px=SIDE_PX)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> DiffusersBackend:
    """Stable Diffusion 3 in small: a transformer, and a scheduler of another kind."""
    folder: Path = tmp_path_factory.mktemp("sd3")
    tiny_stable_diffusion_3(folder).save_pretrained(folder / "model")
    spec = DiffusersSpec(model=str(folder / "model"))
    backend = DiffusersBackend(spec, device="cpu")
    backend.load()

    return backend


def test_doctor_and_the_rows_say_that_its_pipeline_serves_it(backend: DiffusersBackend) -> None:
    made = backend.generate(REQUEST, Onlooker())

    assert backend.check()[-1].detail == (
        "the model's own pipeline, because StableDiffusion3Pipeline is not Stable Diffusion 1.x, "
        "2.x or XL"
    )
    assert made.provenance.versions["engine"] == "pipeline"
    assert made.provenance.versions["batch"] == "2"


def test_it_makes_the_same_bytes_again_and_reports_every_step(backend: DiffusersBackend) -> None:
    onlooker = Onlooker()

    first, second = (backend.generate(REQUEST, watcher) for watcher in (onlooker, Onlooker()))

    assert first.images == second.images
    assert first.images[0].png != first.images[1].png
    assert onlooker.steps == [(1, 3), (2, 3), (3, 3)]


def test_it_stops_between_two_steps_and_the_next_picture_is_as_ever(
    backend: DiffusersBackend,
) -> None:
    before = backend.generate(REQUEST, Onlooker()).images

    with pytest.raises(Cancelled):
        backend.generate(REQUEST, Onlooker(cancel_after=1))

    assert backend.generate(REQUEST, Onlooker()).images == before


def test_it_varies_no_image_and_says_so(backend: DiffusersBackend) -> None:
    request = replace(REQUEST, variation=Variation(parent_id="a fox", strength=0.6))
    parent = finished_image(Image.new("RGB", (SIDE_PX, SIDE_PX)), seed=1).png

    with pytest.raises(CannotVary, match="a StableDiffusion3Pipeline begins with noise alone"):
        backend.generate(request, Onlooker(), parent=parent)


class OneAtATime:
    """A pipeline without an argument for several images."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def maybe_free_model_hooks(self) -> None: ...

    def __call__(
        self,
        prompt: str,
        num_inference_steps: int,
        width: int,
        height: int,
        generator: Any,
        callback_on_step_end: Any,
    ) -> Any:
        return self._pipeline(
            prompt=prompt,
            num_inference_steps=num_inference_steps,
            width=width,
            height=height,
            generator=generator,
            callback_on_step_end=callback_on_step_end,
        )


def test_a_pipeline_for_one_image_is_asked_for_one_after_the_other(
    backend: DiffusersBackend,
) -> None:
    assert backend._loaded is not None
    pipeline: Any = OneAtATime(backend._loaded.pipeline)
    onlooker = Onlooker()

    images, batch = Batching().make(
        PipelineEngine(pipeline, UNKNOWN),
        REQUEST,
        lambda stage: onlooker.step_done(stage.done, stage.total),
    )

    assert (len(images), batch) == (2, 1)
    assert onlooker.steps[-1] == (6, 6)

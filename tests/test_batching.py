"""A request that does not fit into memory is made in smaller batches, and looks the same."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import ImageChops

from generation.diffusion.batching import Batching
from generation.diffusion.denoising import Denoiser
from generation.diffusion.engine import DecodedImage, Engine, Stage
from generation.diffusion.memory import memory_errors
from generation.diffusion.pipeline_engine import PipelineEngine
from generation.errors import OutOfMemory
from generation.families import PLACEHOLDER
from generation.request import Size
from tests.support.generation.requests import a_request
from tests.support.generation.small_memory import let_fit
from tests.support.generation.tiny_model import SIDE_PX, tiny_stable_diffusion

REQUEST = replace(
    a_request("a fox", seeds=(1, 2, 3, 4), steps=3, side_px=SIDE_PX), guidance_scale=0.0
)
"""Without guidance an image is one row."""

ENGINES: dict[str, Callable[[Any], Engine]] = {
    "own": lambda pipeline: Denoiser(pipeline, device="cpu"),
    "pipeline": lambda pipeline: PipelineEngine(pipeline, PLACEHOLDER),
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pipeline = tiny_stable_diffusion(tmp_path_factory.mktemp("batches"))
    pipeline.set_progress_bar_config(disable=True)

    return pipeline


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, pipeline: Any) -> Engine:
    return ENGINES[request.param](pipeline)


@pytest.fixture
def own_engine(pipeline: Any) -> Denoiser:
    return Denoiser(pipeline, device="cpu")


def ignore(_stage: Stage) -> None:
    pass


def largest_difference(pictures: list[DecodedImage], others: list[DecodedImage]) -> int:
    return max(
        max(ImageChops.difference(one.image, other.image).tobytes())
        for one, other in zip(pictures, others, strict=True)
    )


@pytest.mark.parametrize(("fit", "batch"), [(4, 4), (3, 2), (2, 2), (1, 1)])
def test_as_many_are_made_together_as_fit_and_they_look_the_same(
    engine: Engine, fit: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.make(REQUEST, ignore)
    let_fit(monkeypatch, rows=fit)

    pictures, made_together = Batching().make(engine, REQUEST, ignore)

    assert made_together == batch
    assert largest_difference(pictures, whole) <= 1


def test_what_did_not_fit_is_not_tried_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = let_fit(monkeypatch, rows=1)
    batching = Batching()

    batches = [batching.make(engine, REQUEST, ignore)[1] for _ in range(2)]

    assert batches == [1, 1]
    assert refused == [4, 2]


def test_what_a_try_that_did_not_fit_held_is_let_go_before_the_next(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    left_over: list[bool] = []
    forward = UNet2DConditionModel.forward

    def hungry(self: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        left_over.extend(reference() is not None for reference in held)
        if len(sample) > 1:
            activations = torch.zeros(1)
            held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory")

        return forward(self, sample, *args, **kwargs)

    monkeypatch.setattr(UNet2DConditionModel, "forward", hungry)
    gc.disable()  # it has to be gone without a collection
    try:
        Batching().make(engine, replace(REQUEST, seeds=(1, 2)), ignore)
    finally:
        gc.enable()

    assert left_over
    assert not any(left_over)


def test_larger_pictures_fit_no_better_and_smaller_ones_are_tried(
    own_engine: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = let_fit(monkeypatch, rows=2)
    batching = Batching()
    batching.make(own_engine, REQUEST, ignore)

    _, larger = batching.make(own_engine, replace(REQUEST, size=Size(96, SIDE_PX)), ignore)
    assert (larger, refused) == (2, [4])

    batching.make(own_engine, replace(REQUEST, size=Size(32, SIDE_PX)), ignore)
    assert refused == [4, 4]


def test_all_images_of_a_request_are_made_in_batches_of_one_size(
    own_engine: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_fit(monkeypatch, rows=2)

    pictures, batch = Batching().make(own_engine, replace(REQUEST, seeds=(1, 2, 3)), ignore)

    assert (len(pictures), batch) == (3, 1)


def test_steps_are_counted_over_all_batches_and_what_was_in_vain_stays_counted(
    own_engine: Denoiser,
) -> None:
    seen: list[tuple[int, int]] = []
    unet = own_engine.unet

    def runs_out_at_the_third_step(sample: Any, *args: Any, **kwargs: Any) -> Any:
        if len(sample) == 4 and len(seen) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

        return unet(sample, *args, **kwargs)

    own_engine.unet = runs_out_at_the_third_step
    Batching().make(own_engine, REQUEST, lambda stage: seen.append((stage.done, stage.total)))

    # PNDM takes four steps for three; two of the first try were in vain, then two batches of two.
    assert seen == [(1, 4), (2, 4), *((step, 10) for step in range(3, 11))]


def test_where_not_even_one_fits_it_is_refused_and_once_there_is_room_made_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    batching = Batching()
    with monkeypatch.context() as context:
        let_fit(context, rows=0)
        with pytest.raises(OutOfMemory, match=r"Tried to allocate 2\.00 GiB"):
            batching.make(engine, REQUEST, ignore)

    pictures, batch = batching.make(engine, REQUEST, ignore)

    assert (len(pictures), batch) == (4, 4)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 16.00 GB)"),
    ],
    ids=["torch", "CPU", "driver", "library", "Apple"],
)
def test_every_way_of_saying_that_memory_is_used_up_is_understood(error: Exception) -> None:
    with pytest.raises(OutOfMemory) as translated, memory_errors():
        raise error

    assert translated.value.cause == str(error)


def test_another_error_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"), memory_errors():
        raise RuntimeError("shape mismatch")


def test_what_is_too_large_to_decode_together_is_decoded_one_by_one(
    own_engine: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = own_engine.make(REQUEST, ignore)
    refused = let_fit(monkeypatch, decoded=1)
    steps: list[int] = []

    pictures = own_engine.make(REQUEST, lambda stage: steps.append(stage.done))
    again = own_engine.make(REQUEST, ignore)

    assert steps == [1, 2, 3, 4]  # not one of them twice
    assert largest_difference(pictures, whole) <= 1
    assert largest_difference(again, pictures) == 0
    assert all(picture.decoded_alone for picture in [*pictures, *again])
    assert refused == [4]  # tried together once

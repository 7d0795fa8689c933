"""Our own denoising loop makes the pictures that the stock pipelines make.

On a CPU the two are equal bit for bit: they ask the same operations of the same numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image, ImageDraw

from generation.diffusion.denoising import Denoiser
from generation.diffusion.engine import DecodedImage, Stage
from generation.request import ImageRequest, Size, Variation
from tests.support.generation.requests import a_request
from tests.support.generation.tiny_model import (
    NOISE,
    tiny_stable_diffusion,
    tiny_xl,
    with_textual_inversion,
)

# diffusers' schedulers speak to NumPy in its old way
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIDE_PX = 32

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True}),
    "PNDM with Runge-Kutta steps": ("PNDMScheduler", {}),
    "DDIM": ("DDIMScheduler", {"clip_sample": False}),
    "DDIM trailing": (
        "DDIMScheduler",
        {"clip_sample": False, "timestep_spacing": "trailing"},
    ),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM++ 2M Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM++ 2M SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "Euler": ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "LCM": ("LCMScheduler", {}),
}


VARYING = {
    "StableDiffusionPipeline": diffusers.StableDiffusionImg2ImgPipeline,
    "StableDiffusionXLPipeline": diffusers.StableDiffusionXLImg2ImgPipeline,
}
"""Whose images variations must equal."""


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    diffusers.utils.logging.disable_progress_bar()
    yield
    diffusers.utils.logging.enable_progress_bar()


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return quiet_steps(tiny_stable_diffusion(tmp_path_factory.mktemp("sd")))


@pytest.fixture(scope="module")
def stable_diffusion_2(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return quiet_steps(tiny_stable_diffusion(tmp_path_factory.mktemp("sd2"), second=True))


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return quiet_steps(tiny_xl(tmp_path_factory.mktemp("xl")))


@pytest.fixture(scope="module", params=["Stable Diffusion", "Stable Diffusion XL"])
def family(request: pytest.FixtureRequest, stable_diffusion: Any, xl: Any) -> Any:
    return xl if request.param.endswith("XL") else stable_diffusion


def quiet_steps(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)

    return pipeline


def with_scheduler(pipeline: Any, name: str, **settings: Any) -> Any:
    """The pipeline around the same parts, with another scheduler."""
    class_name, usual = SCHEDULERS[name]
    scheduler = getattr(diffusers, class_name)(**(NOISE | {"steps_offset": 1} | usual | settings))

    return quiet_steps(type(pipeline)(**(pipeline.components | {"scheduler": scheduler})))


def a_small_request(**changes: Any) -> ImageRequest:
    request = a_request("a fox", seeds=(1, 2), steps=4, side_px=SIDE_PX)

    return replace(request, **changes)


def a_variation(strength: float = 0.6, **changes: Any) -> ImageRequest:
    variation = Variation(parent_id="a fox", strength=strength)

    return a_small_request(steps=5, variation=variation, **changes)


def a_picture(size: Size) -> Image.Image:
    """Something to vary: a red sun before a sky that gets lighter."""
    sky = Image.linear_gradient("L").resize((size.width_px, size.height_px)).convert("RGB")
    ImageDraw.Draw(sky).ellipse((4, 4, 20, 20), fill=(220, 40, 30))

    return sky


def of_the_engine(pipeline: Any, request: ImageRequest) -> list[DecodedImage]:
    parent = a_picture(request.size) if request.variation else None

    return Denoiser(pipeline, device="cpu").make(request, lambda _stage: None, parent=parent)


def of_the_pipeline(pipeline: Any, request: ImageRequest) -> list[Image.Image]:
    stock, start = pipeline, dict[str, Any]()
    if request.variation is None:
        start = {"width": request.size.width_px, "height": request.size.height_px}
    else:
        stock = quiet_steps(VARYING[type(pipeline).__name__](**pipeline.components))
        start = {"image": a_picture(request.size), "strength": request.variation.strength}

    made = stock(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt or None,
        num_images_per_prompt=len(request.seeds),
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in request.seeds],
        **start,
    )
    images: list[Image.Image] = made.images

    return images


def assert_equal_to_stock(pipeline: Any, request: ImageRequest) -> None:
    ours = [picture.image.tobytes() for picture in of_the_engine(pipeline, request)]
    theirs = [image.tobytes() for image in of_the_pipeline(pipeline, request)]

    assert len(set(theirs)) == len(set(request.seeds))  # nothing degenerate, such as all black
    assert ours == theirs


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_it_makes_the_pictures_of_the_stock_pipeline(family: Any, scheduler: str) -> None:
    assert_equal_to_stock(with_scheduler(family, scheduler), a_small_request())


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_its_variations_of_an_image_are_those_of_the_stock_pipeline(
    family: Any, scheduler: str
) -> None:
    assert_equal_to_stock(with_scheduler(family, scheduler), a_variation())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"strength": 0.2}, id="one step"),
        pytest.param({"strength": 1.0}, id="all steps"),
        pytest.param({"guidance_scale": 1.0}, id="no guidance"),
        pytest.param({"negative_prompt": "an owl"}, id="negative prompt"),
        pytest.param({"size": Size(48, SIDE_PX)}, id="wide"),
        pytest.param({"seeds": (7,)}, id="one image"),
    ],
)
def test_whatever_a_variation_asks_for_comes_out_as_from_the_stock_pipeline(
    family: Any, changes: dict[str, Any]
) -> None:
    assert_equal_to_stock(family, a_variation(**changes))


def test_a_variation_makes_at_least_one_step(family: Any) -> None:
    """Here the stock pipeline raises."""
    request = a_variation(strength=0.01)

    assert request.steps_made == 1
    assert len(of_the_engine(family, request)) == 2


def test_a_parent_of_another_size_is_refused(family: Any) -> None:
    engine = Denoiser(family, device="cpu")

    with pytest.raises(ValueError, match="the image to vary is 48x32, and the request's size is"):
        engine.begin(a_variation(), parent=a_picture(Size(48, SIDE_PX)))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"guidance_scale": 1.0}, id="no guidance"),
        pytest.param({"guidance_scale": 0.0}, id="guidance zero"),
        pytest.param({"negative_prompt": "an owl"}, id="negative prompt"),
        pytest.param({"prompt": "fox " * 60}, id="longer than the encoder takes"),
        pytest.param({"negative_prompt": "owl " * 60}, id="negative too"),
        pytest.param({"size": Size(48, SIDE_PX)}, id="wide"),
        pytest.param({"size": Size(SIDE_PX, 48)}, id="tall"),
        pytest.param({"seeds": (7,)}, id="one image"),
        pytest.param({"steps": 1}, id="one step"),
    ],
)
def test_whatever_is_asked_for_comes_out_as_from_the_stock_pipeline(
    family: Any, changes: dict[str, Any]
) -> None:
    assert_equal_to_stock(family, a_small_request(**({"steps": 2} | changes)))


@pytest.mark.parametrize("scheduler", ["DDIM", "DPM++ 2M", "Euler"])
def test_stable_diffusion_2_which_predicts_velocity_is_understood(
    stable_diffusion_2: Any, scheduler: str
) -> None:
    pipeline = with_scheduler(stable_diffusion_2, scheduler, prediction_type="v_prediction")

    assert_equal_to_stock(pipeline, a_small_request())


def test_runs_that_take_turns_make_what_they_make_one_after_the_other(family: Any) -> None:
    engine = Denoiser(with_scheduler(family, "DPM++ 2M SDE"), device="cpu")
    requests = [a_small_request(), a_small_request(prompt="an owl", seeds=(4, 5), steps=3)]
    expected = [engine.make(request, lambda _stage: None) for request in requests]

    runs = [engine.begin(request) for request in requests]
    while waiting := [run for run in runs if run.done < run.total]:
        for run in waiting:
            run.step()

    assert [run.finish() for run in runs] == expected


def test_after_each_step_it_tells_how_far_it_is(stable_diffusion: Any) -> None:
    seen: list[tuple[int, int, Any]] = []

    def look(stage: Stage) -> None:
        seen.append((stage.done, stage.total, stage.latents))

    Denoiser(stable_diffusion, device="cpu").make(a_small_request(), look)

    # PNDM takes one step more than it is asked for.
    assert [(done, total) for done, total, _ in seen] == [(step, 5) for step in range(1, 6)]
    assert all(latents.shape == (2, 4, 16, 16) for *_, latents in seen)
    assert not torch.equal(seen[0][2], seen[1][2])


@pytest.fixture(scope="module")
def told_guidance(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("told")

    return quiet_steps(tiny_stable_diffusion(folder, told_guidance=True))


@pytest.mark.parametrize("scale", [7.5, 1.0])
def test_a_distilled_model_is_told_the_guidance_scale(told_guidance: Any, scale: float) -> None:
    """As latent consistency models are: one row an image, the scale an input of the UNet."""
    pipeline = with_scheduler(told_guidance, "LCM")

    assert_equal_to_stock(pipeline, a_small_request(guidance_scale=scale))


# the stock XL pipeline calls what diffusers is about to remove
@pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")
@pytest.mark.parametrize("make", [tiny_stable_diffusion, tiny_xl])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_in_half_precision_too_the_pictures_are_those_of_the_stock_pipeline(
    tmp_path: Path, dtype: Any, make: Callable[[Path], Any]
) -> None:
    """XL's VAE, which overflows in float16, is raised to float32 once, not for each request."""
    pipeline = quiet_steps(make(tmp_path)).to(dtype)
    request = a_small_request(steps=3)
    theirs = [image.tobytes() for image in of_the_pipeline(pipeline, request)]

    ours = [picture.image.tobytes() for picture in of_the_engine(pipeline, request)]

    assert ours == theirs


@pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        pytest.param(tiny_stable_diffusion, torch.float16, id="float16"),
        pytest.param(tiny_stable_diffusion, torch.bfloat16, id="bfloat16"),
        pytest.param(tiny_xl, torch.float16, id="XL in float16"),
    ],
)
def test_in_half_precision_too_variations_are_those_of_the_stock_pipeline(
    tmp_path: Path, make: Callable[[Path], Any], dtype: Any
) -> None:
    """But for XL in bfloat16, where the stock pipeline raises its VAE for nothing."""
    pipeline = quiet_steps(make(tmp_path)).to(dtype)
    theirs = [image.tobytes() for image in of_the_pipeline(pipeline, a_variation())]

    ours = [picture.image.tobytes() for picture in of_the_engine(pipeline, a_variation())]

    assert ours == theirs


def test_an_xl_model_without_zeros_for_the_empty_prompt_encodes_it(xl: Any) -> None:
    pipeline = quiet_steps(type(xl)(**xl.components, force_zeros_for_empty_prompt=False))

    assert_equal_to_stock(pipeline, a_small_request())


def test_an_xl_vae_with_means_of_its_own_is_heeded(xl: Any) -> None:
    means = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.1, 0.9, 1.2, 0.8]}
    vae = type(xl.vae).from_config({**xl.vae.config, **means})
    vae.load_state_dict(xl.vae.state_dict())
    pipeline = quiet_steps(type(xl)(**(xl.components | {"vae": vae})))

    assert_equal_to_stock(pipeline, a_small_request())
    assert_equal_to_stock(pipeline, a_variation())


def test_a_tiny_autoencoder_does_as_in_the_stock_pipeline(family: Any) -> None:
    torch.manual_seed(0)
    small = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    pipeline = quiet_steps(type(family)(**(family.components | {"vae": small})))

    assert_equal_to_stock(pipeline, a_small_request())
    assert_equal_to_stock(pipeline, a_variation())


@pytest.mark.parametrize("negative_prompt", ["", "<fox> in rain"])
@pytest.mark.parametrize("make", [tiny_stable_diffusion, tiny_xl])
def test_a_textual_inversion_of_several_vectors_makes_the_stock_pipelines_images(
    tmp_path: Path, make: Callable[[Path], Any], negative_prompt: str
) -> None:
    pipeline = with_textual_inversion(quiet_steps(make(tmp_path)), "<fox>", vectors=3)

    assert_equal_to_stock(
        pipeline, a_small_request(prompt="a <fox>", negative_prompt=negative_prompt)
    )


@pytest.fixture(scope="module")
def on_meta(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("meta")).to("meta")


def predict_nothing(latents: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor]:
    """In place of the UNet, which is the same with every scheduler."""
    return (torch.empty_like(latents),)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_no_step_reads_a_number_back_from_the_device(
    on_meta: Any, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for the device each time. On the device "meta" there are no numbers to read."""
    request, variation = a_small_request(), a_variation()
    if scheduler == "DDIM":  # each step of the UNet takes half a second there
        request, variation = replace(request, steps=2), replace(variation, steps=2)
    else:
        monkeypatch.setattr(on_meta.unet, "forward", predict_nothing)

    engine = Denoiser(with_scheduler(on_meta, scheduler), device="meta")
    for run in (
        engine.begin(request),
        engine.begin(variation, parent=a_picture(variation.size)),
    ):
        while run.done < run.total:
            run.step()

        assert run.latents.device.type == "meta"


def test_a_prompt_is_encoded_once_however_often_it_is_asked_for(family: Any) -> None:
    encoded: list[int] = []
    engine = Denoiser(family, device="cpu")
    hook = family.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    try:
        for prompt in ("a fox", "an owl", "a fox"):
            engine.begin(a_small_request(prompt=prompt, negative_prompt="rain"))
    finally:
        hook.remove()

    assert len(encoded) == 3  # the fox, the owl and the rain


def test_of_encoded_prompts_the_latest_are_kept(stable_diffusion: Any) -> None:
    encoded: list[int] = []
    engine = Denoiser(stable_diffusion, device="cpu")
    prompts = [f"fox {number}" for number in range(40)]
    for prompt in prompts:
        engine.begin(a_small_request(prompt=prompt))

    hook = stable_diffusion.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    try:
        engine.begin(a_small_request(prompt=prompts[-1]))
        assert not encoded
        engine.begin(a_small_request(prompt=prompts[0]))
        assert encoded == [1]
    finally:
        hook.remove()

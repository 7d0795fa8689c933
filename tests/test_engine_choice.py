"""Which engine serves a model is read off its index, without loading it."""

import json
from typing import Any

import pytest

from generation.diffusion.engine import choose_engine

STABLE_DIFFUSION: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.2.2",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "image_encoder": [None, None],
    "requires_safety_checker": True,
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
XL: dict[str, Any] = STABLE_DIFFUSION | {
    "_class_name": "StableDiffusionXLPipeline",
    "force_zeros_for_empty_prompt": True,
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
}


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(STABLE_DIFFUSION, id="Stable Diffusion"),
        pytest.param(XL, id="Stable Diffusion XL"),
        pytest.param(STABLE_DIFFUSION | {"safety_checker": [None, None]}, id="no checker"),
        pytest.param(STABLE_DIFFUSION | {"vae": ["diffusers", "AutoencoderTiny"]}, id="tiny VAE"),
        pytest.param(XL | {"scheduler": ["diffusers", "LCMScheduler"]}, id="any scheduler"),
    ],
)
def test_stable_diffusion_is_served_by_our_own_loop(index: dict[str, Any]) -> None:
    choice = choose_engine(json.loads(json.dumps(index)))

    assert choice.name == "oxherd", choice.reason


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        pytest.param(
            {"_class_name": "FluxPipeline"},
            "FluxPipeline is not Stable Diffusion 1.x, 2.x or XL",
            id="another family",
        ),
        pytest.param(
            STABLE_DIFFUSION | {"image_encoder": ["transformers", "CLIPVisionModel"]},
            "it has an unknown component, image_encoder",
            id="a part more",
        ),
        pytest.param(
            STABLE_DIFFUSION | {"unet": ["diffusers", "UNetMotionModel"]},
            "its unet is UNetMotionModel",
            id="another UNet",
        ),
        pytest.param(
            XL | {"text_encoder": [None, None]}, "its text_encoder is missing", id="a part less"
        ),
        pytest.param({}, "None is not Stable Diffusion", id="an empty index"),
    ],
)
def test_what_our_own_loop_does_not_know_is_left_to_the_pipeline(
    index: dict[str, Any], reason: str
) -> None:
    choice = choose_engine(index)

    assert choice.name == "pipeline"
    assert reason in choice.reason

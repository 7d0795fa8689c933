"""Stable Diffusion 1.4 with random weights, on which speed does not depend; or a toy of its kind.

The full size restates the published configuration of CompVis/stable-diffusion-v1-4. The tokenizer
knows single characters only, filled up to the published number of words.
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WORDS = 49_408
SIDE_PX = 512
TOY_SIDE_PX = 64

UNET = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
}
VAE = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "scaling_factor": 0.18215,
}
TEXT_ENCODER = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "projection_dim": 768,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "steps_offset": 1,
}

TOY_UNET = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 32,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
TOY_VAE = {
    "sample_size": 64,
    "block_out_channels": (8, 8, 16, 16),
    "norm_num_groups": 8,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "scaling_factor": 0.18215,
}
TOY_TEXT_ENCODER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "projection_dim": 32,
}


def saved_model(folder: Path, *, toy: bool) -> Path:
    """The model in float32, as it was published, in a folder below this one; made if missing."""
    model = folder / ("sd14-toy" if toy else "sd14-random")
    if (model / "model_index.json").exists():  # written last
        return model

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    StableDiffusionPipeline(
        vae=AutoencoderKL(**(TOY_VAE if toy else VAE)),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=WORDS,
                bos_token_id=WORDS - 2,
                eos_token_id=WORDS - 1,
                pad_token_id=WORDS - 1,
                hidden_act="quick_gelu",
                **(TOY_TEXT_ENCODER if toy else TEXT_ENCODER),
            )
        ),
        tokenizer=_tokenizer(folder / "vocabulary"),
        unet=UNet2DConditionModel(**(TOY_UNET if toy else UNET)),
        scheduler=PNDMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(model)

    return model


def _tokenizer(folder: Path) -> CLIPTokenizer:
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += [f"<unused {number}>" for number in range(WORDS - 2 - len(words))]
    words += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(exist_ok=True)
    ids = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")

    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)

"""A Stable Diffusion pipeline with random weights, small enough to denoise within a second.

Everything but the weights is the real thing: CLIP's tokenizer (with a vocabulary of single
characters), a UNet with cross-attention, the PNDM scheduler, a VAE. Nothing is downloaded.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

SIDE_PX = 64
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
"""How Stable Diffusion's training added noise."""


def save_tiny_model(folder: Path, *, flags_everything: bool = False, xl: bool = False) -> Path:
    """Save a tiny random pipeline in the folder, always with the same weights.

    With `flags_everything` it has a safety checker, whom no picture pleases.
    """
    model = folder / "tiny-model"
    pipeline = (
        tiny_xl(folder) if xl else tiny_stable_diffusion(folder, flags_everything=flags_everything)
    )
    pipeline.save_pretrained(model)

    return model


def save_tiny_clip(folder: Path) -> None:
    """Save a tiny CLIP with random weights, whole, as `tiny-clip` in the folder."""
    torch.manual_seed(0)
    vision = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "patch_size": 8,
        "image_size": 32,
    }
    config = CLIPConfig(
        vision_config=vision, text_config=clip_text_config().to_dict(), projection_dim=8
    )
    CLIPModel(config).save_pretrained(folder / "tiny-clip")
    side = {"height": 32, "width": 32}
    CLIPProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=side),
        clip_tokenizer(folder / "vocabulary"),
    ).save_pretrained(folder / "tiny-clip")


def tiny_stable_diffusion(
    folder: Path,
    *,
    flags_everything: bool = False,
    told_guidance: bool = False,
    second: bool = False,
) -> Any:
    """Stable Diffusion 1.x in small; its tokenizer's files go into the folder.

    With `told_guidance` its UNet takes the guidance scale as an input, as distilled ones do. The
    `second` has OpenCLIP's kind of text encoder, and a UNet that goes with it.
    """
    torch.manual_seed(0)
    text = clip_text_config(hidden_act="gelu", projection_dim=6) if second else clip_text_config()

    return StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(text),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        unet=UNet2DConditionModel(
            **_UNET,
            cross_attention_dim=8,
            time_cond_proj_dim=8 if told_guidance else None,
            use_linear_projection=second,
        ),
        scheduler=PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1),  # as in 1.4
        safety_checker=_strictest_checker() if flags_everything else None,
        feature_extractor=CLIPImageProcessorPil() if flags_everything else None,
        requires_safety_checker=flags_everything,
    )


def tiny_xl(folder: Path) -> Any:
    """Stable Diffusion XL in small: two text encoders of different widths, and told its size."""
    torch.manual_seed(0)
    wider = clip_text_config(hidden_size=12, projection_dim=6)

    return StableDiffusionXLPipeline(
        vae=_vae(force_upcast=True),
        text_encoder=CLIPTextModel(clip_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(wider),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        tokenizer_2=clip_tokenizer(folder / "vocabulary-2"),
        unet=UNet2DConditionModel(
            **_UNET,
            cross_attention_dim=20,  # both encoders' widths
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=6 + 6 * 4,  # pooled width, six sizes
        ),
        scheduler=PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1),
    )


def tiny_stable_diffusion_3(folder: Path) -> Any:
    """Stable Diffusion 3 in small: a transformer, three text encoders."""
    torch.manual_seed(0)
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=SIDE_PX // 2,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_projection_dim=16,
            joint_attention_dim=20,
            pooled_projection_dim=12,  # both encoders'
            pos_embed_max_size=SIDE_PX // 2,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(shift_factor=0.06),
        text_encoder=CLIPTextModelWithProjection(clip_text_config(projection_dim=6)),
        text_encoder_2=CLIPTextModelWithProjection(clip_text_config(projection_dim=6)),
        text_encoder_3=T5EncoderModel(t5_config()),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        tokenizer_2=clip_tokenizer(folder / "vocabulary-2"),
        tokenizer_3=t5_tokenizer(),
    )


_T5_VOCABULARY = (
    "<pad>",
    "</s>",
    "<unk>",
    "\N{LOWER ONE EIGHTH BLOCK}",
    *"abcdefghijklmnopqrstuvwxyz",
)


def t5_config() -> T5Config:
    """A small T5, 20 wide."""
    return T5Config(
        vocab_size=len(_T5_VOCABULARY), d_model=20, d_kv=4, d_ff=16, num_layers=1, num_heads=2
    )


def t5_tokenizer() -> T5Tokenizer:
    """T5's tokenizer with a vocabulary of letters."""
    return T5Tokenizer(vocab=[(token, -1.0) for token in _T5_VOCABULARY], extra_ids=0)


_UNET: dict[str, Any] = {
    "block_out_channels": (4, 8),
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 2,
    "layers_per_block": 1,
    "sample_size": SIDE_PX // 2,
}


def _vae(**settings: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        **settings,
    )


def with_textual_inversion(pipeline: Any, token: str, *, vectors: int) -> Any:
    """The same pipeline, whose tokenizers and text encoders know the token by so many vectors."""
    pairs = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
    for tokenizer, encoder in pairs:
        if hasattr(pipeline, encoder):
            width = getattr(pipeline, encoder).config.hidden_size
            pipeline.load_textual_inversion(
                torch.randn(vectors, width, generator=torch.Generator().manual_seed(1)),
                token=token,
                tokenizer=getattr(pipeline, tokenizer),
                text_encoder=getattr(pipeline, encoder),
            )

    return pipeline


def clip_text_config(**settings: Any) -> CLIPTextConfig:
    """A small CLIP text encoder, 8 wide."""
    small = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "vocab_size": len(_vocabulary()),
        "bos_token_id": len(_vocabulary()) - 2,
        "eos_token_id": len(_vocabulary()) - 1,
    }

    return CLIPTextConfig(**(small | settings))


def _strictest_checker() -> StableDiffusionSafetyChecker:
    vision = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "patch_size": 32,
        "projection_dim": 8,
    }
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config=vision, text_config={"projection_dim": 8}, projection_dim=8)
    )
    checker.concept_embeds_weights.data.fill_(-2.0)  # every similarity is above that

    return checker


def _vocabulary() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,<|>="

    return [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer with a vocabulary of letters, whose files go into the folder."""
    folder.mkdir()
    ids = {token: number for number, token in enumerate(_vocabulary())}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")

    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)

"""Every family of `generation/families.py` with tiny random weights.

The pipelines, transformers, autoencoders and schedulers are the real classes. Where a family has a
language model to read prompts, a small Qwen3 stands in for it, and its tokenizer knows letters.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    HiDreamImagePipeline,
    HiDreamImageTransformer2DModel,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5EncoderModel,
)

from tests.support.generation.tiny_model import (
    clip_text_config,
    clip_tokenizer,
    t5_config,
    t5_tokenizer,
    tiny_stable_diffusion,
    tiny_stable_diffusion_3,
    tiny_xl,
)

_WIDTH = 16
"""Of the small language model, and of what reads its output."""

_TEMPLATE = (
    "{% for message in messages %}{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
)


def save_tiny_family(name: str, folder: Path) -> Path:
    """Save the model of that name, one of `TINY_FAMILIES`, always with the same weights."""
    torch.manual_seed(0)
    model = folder / name
    TINY_FAMILIES[name](folder).save_pretrained(model)

    return model


def tiny_flux(folder: Path, *, told_guidance: bool, blocks: int = 1) -> Any:
    """FLUX.1 dev or schnell. blocks: how many of each of its two kinds."""
    return FluxPipeline(
        transformer=FluxTransformer2DModel(
            in_channels=16,
            num_layers=blocks,
            num_single_layers=blocks,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=20,
            pooled_projection_dim=8,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=told_guidance,
        ),
        text_encoder=CLIPTextModel(clip_text_config()),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        text_encoder_2=T5EncoderModel(t5_config()),
        tokenizer_2=t5_tokenizer(),
        vae=_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def _flux2(pipeline: Any, *, layers: int, **settings: Any) -> Any:
    return pipeline(
        transformer=Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=3 * _WIDTH,  # of three layers of the language model
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=pipeline is Flux2Pipeline,
        ),
        text_encoder=Qwen3ForCausalLM(_language_config(layers)),
        tokenizer=_letters(),
        vae=AutoencoderKLFlux2(
            block_out_channels=(4, 4),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=1,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        **settings,
    )


def _qwen(_folder: Path) -> Any:
    return QwenImagePipeline(
        transformer=QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=1,
            joint_attention_dim=_WIDTH,
            axes_dims_rope=(8, 4, 4),
        ),
        text_encoder=Qwen3Model(_language_config(1)),
        tokenizer=_letters(),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1],
            num_res_blocks=1,
            temperal_downsample=[False],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def _z_image(_folder: Path) -> Any:
    return ZImagePipeline(
        transformer=ZImageTransformer2DModel(
            in_channels=4,
            dim=16,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=1,
            n_kv_heads=1,
            cap_feat_dim=_WIDTH,
            axes_dims=[8, 4, 4],
            axes_lens=[1024, 64, 64],
        ),
        text_encoder=Qwen3Model(_language_config(2)),
        tokenizer=_letters(),
        vae=_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def _sana(pipeline: Any, scheduler: Any, **settings: Any) -> Any:
    """sample_size: the least that the pipeline has shapes for."""
    blocks = (4,) * 5
    once = (1,) * 5

    return pipeline(
        transformer=SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=_WIDTH,
            **settings,
        ),
        text_encoder=Qwen3Model(_language_config(1)),
        tokenizer=_letters(),
        vae=AutoencoderDC(
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_out_channels=blocks,
            decoder_block_out_channels=blocks,
            encoder_layers_per_block=once,
            decoder_layers_per_block=once,
            encoder_qkv_multiscales=((),) * 5,
            decoder_qkv_multiscales=((),) * 5,
        ),
        scheduler=scheduler,
    )


def _pixart(_folder: Path) -> Any:
    return PixArtSigmaPipeline(
        transformer=PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            cross_attention_dim=16,
            caption_channels=20,
            sample_size=32,  # the least that it has shapes for: 256 pixels
        ),
        text_encoder=T5EncoderModel(t5_config()),
        tokenizer=t5_tokenizer(),
        vae=_vae(blocks=4),
        scheduler=DPMSolverMultistepScheduler(),
    )


def _lumina2(_folder: Path) -> Any:
    return Lumina2Pipeline(
        transformer=Lumina2Transformer2DModel(
            sample_size=16,
            in_channels=4,
            hidden_size=16,
            num_layers=1,
            num_refiner_layers=1,
            num_attention_heads=1,
            num_kv_heads=1,
            multiple_of=16,
            axes_dim_rope=(8, 4, 4),
            cap_feat_dim=_WIDTH,
        ),
        text_encoder=Qwen3Model(_language_config(2)),
        tokenizer=_letters(),
        vae=_vae(blocks=4),  # it counts on eight pixels for each latent
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def _hidream(folder: Path) -> Any:
    return HiDreamImagePipeline(
        transformer=HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_channels=[20, _WIDTH],
            text_emb_dim=12,  # both of CLIP's
            axes_dims_rope=(4, 2, 2),
            max_resolution=(64, 64),
            llama_layers=[0, 1],
        ),
        text_encoder=CLIPTextModelWithProjection(_long_clip()),
        tokenizer=clip_tokenizer(folder / "vocabulary"),
        text_encoder_2=CLIPTextModelWithProjection(_long_clip()),
        tokenizer_2=clip_tokenizer(folder / "vocabulary-2"),
        text_encoder_3=T5EncoderModel(t5_config()),
        tokenizer_3=t5_tokenizer(),
        text_encoder_4=Qwen3ForCausalLM(_language_config(2)),
        tokenizer_4=_letters(),
        vae=_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def _long_clip() -> CLIPTextConfig:
    return clip_text_config(projection_dim=6, max_position_embeddings=128)


def _latent_consistency(folder: Path) -> Any:
    parts = dict(tiny_stable_diffusion(folder, told_guidance=True).components)
    parts |= {"scheduler": LCMScheduler(), "image_encoder": None}

    return LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)


TINY_FAMILIES: Mapping[str, Callable[[Path], Any]] = {
    "sd": tiny_stable_diffusion,
    "sd-turbo": tiny_stable_diffusion,
    "sd-told-guidance": lambda folder: tiny_stable_diffusion(folder, told_guidance=True),
    "sdxl": tiny_xl,
    "lcm": _latent_consistency,
    "sd3": tiny_stable_diffusion_3,
    "flux-schnell": lambda folder: tiny_flux(folder, told_guidance=False),
    "flux-dev": lambda folder: tiny_flux(folder, told_guidance=True),
    "flux2-dev": lambda _: _flux2(Flux2Pipeline, layers=30),
    "flux2-klein": lambda _: _flux2(Flux2KleinPipeline, layers=27, is_distilled=True),
    "flux2-klein-base": lambda _: _flux2(Flux2KleinPipeline, layers=27),
    "qwen-image": _qwen,
    "z-image": _z_image,
    "z-image-turbo": _z_image,
    "sana": lambda _: _sana(
        SanaPipeline, FlowMatchEulerDiscreteScheduler(shift=3.0), sample_size=16
    ),
    "sana-sprint": lambda _: _sana(
        SanaSprintPipeline,
        SCMScheduler(),
        sample_size=32,
        guidance_embeds=True,
        qk_norm="rms_norm_across_heads",
    ),
    "pixart": _pixart,
    "lumina2": _lumina2,
    "hidream": _hidream,
}
"""By a name that tells the variants apart where their files do not."""


def _vae(*, blocks: int = 2) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4,) * blocks,
        norm_num_groups=1,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=4,
        shift_factor=0.06,
    )


def _language_config(layers: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=len(_LETTERS),
        hidden_size=_WIDTH,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=16,
    )


_LETTERS = {letter: number for number, letter in enumerate(["<pad>", *map(chr, range(32, 127))])}


def _letters() -> PreTrainedTokenizerFast:
    tokens = Tokenizer(WordLevel(_LETTERS, unk_token="<pad>"))
    tokens.pre_tokenizer = Split(Regex("."), behavior="isolated")

    return PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        pad_token="<pad>",
        eos_token="<pad>",
        unk_token="<pad>",
        chat_template=_TEMPLATE,
        model_max_length=4096,
    )

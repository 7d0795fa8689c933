"""Lays a model's weights out as GPUs read them fastest, which compiled code expects."""

import torch
from diffusers import DiffusionPipeline

PREPARED = "channels_last, fused qkv"
"""`versions["layout"]` of images made with weights that `prepare` laid out."""


def pays(device: str) -> bool:
    """Whether compiling is worthwhile on the device: on NVIDIA GPUs since Ampere."""
    if torch.device(device).type != "cuda":
        return False

    major, _ = torch.cuda.get_device_capability(device)

    return major >= 8


def prepare(pipeline: DiffusionPipeline) -> None:
    """Lay the UNet and the VAE out in place. Images change by rounding."""
    for module in (pipeline.unet, pipeline.vae):
        module.to(memory_format=torch.channels_last)
        if hasattr(module, "fuse_qkv_projections"):
            module.fuse_qkv_projections()

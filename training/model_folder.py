"""Writes the folder that ships: the pipeline that from_pretrained loads, and its hashes."""

import hashlib
import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTokenizer

from training.denoiser import NOISE

HASHES = "SHA256SUMS"
_WRITTEN_BY_PEOPLE = ("README.md", "NOTICE")


def write_model(
    folder: Path,
    *,
    autoencoder: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
) -> None:
    """Write the pipeline, with float16 weights and no path of this machine."""
    scheduler = DPMSolverMultistepScheduler(
        **NOISE,
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        steps_offset=1,
    )
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    tokenizer.backend_tokenizer.no_truncation()  # as reading the captions has left it
    tokenizer.backend_tokenizer.no_padding()
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
    for file in folder.rglob("*.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(config, dict) and "_name_or_path" in config:
            del config["_name_or_path"]
            file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    write_hashes(folder)


def write_hashes(folder: Path) -> None:
    """One line a file, as `sha256sum` writes and checks them."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n"
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in (HASHES, *_WRITTEN_BY_PEOPLE)
    ]
    (folder / HASHES).write_text("".join(lines), encoding="utf-8")

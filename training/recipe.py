"""The steps from pictures and captions to a model's folder, which every worker runs."""

from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

from training import emoji as source
from training.autoencoder import DECODER, ENCODER, encoded, train_autoencoder
from training.captions import Caption, caption, mentioned, nouns
from training.codes import encode_all, fit
from training.denoiser import DENOISER, train_denoiser
from training.loop import Schedule, Weights
from training.model_folder import write_model
from training.reader import (
    READER,
    caption_embeddings,
    ideal_embeddings,
    new_text_encoder,
    new_tokenizer,
    teach,
    train_reader,
)
from training.styles import picture
from training.workers import this_worker

_PROMPTS = 4
"""Of each emoji, for the denoiser."""


def train_model(
    emoji: Sequence[source.Emoji],
    out: Path,
    work: Path,
    start: Path | None = None,
    reader: Schedule = READER,
    denoiser: Schedule = DENOISER,
    *,
    decoder: Schedule = DECODER,
    encoder: Schedule = ENCODER,
) -> None:
    """Train on these emoji and write the model; checkpoints are kept in `work`.

    start: a model's folder. Its autoencoder is kept. The text encoder and the UNet go on from its
        weights, each if it has the same shapes, and begin anew if not.
    """
    pictures = pictures_of(emoji)
    if start is None:
        codes = encode_all(fit(pictures), pictures)
        autoencoder = train_autoencoder(pictures, codes, work, decoder=decoder, encoder=encoder)
    else:
        autoencoder = AutoencoderKL.from_pretrained(start / "vae", torch_dtype=torch.float32)

    codes = encoded(autoencoder, pictures)
    captions = captions_of(emoji)
    tokenizer = new_tokenizer(captions)
    text_encoder = new_text_encoder(tokenizer, len(emoji))
    begun = None if start is None else _begun(CLIPTextModel, start / "text_encoder")
    known = train_reader(captions, tokenizer, text_encoder, work / "reader.pt", reader, begun)
    teach(text_encoder, known, codes)
    begun = None if start is None else _begun(UNet2DConditionModel, start / "unet")
    ideal = ideal_embeddings(text_encoder, len(codes))
    captioned = torch.stack(
        [caption_embeddings(text_encoder, tokenizer, texts) for texts in prompts_of(captions)]
    )
    unet = train_denoiser(codes, ideal, captioned, work / "denoiser.pt", denoiser, begun)
    if this_worker() == 0:
        write_model(
            out, autoencoder=autoencoder, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet
        )


def pictures_of(emoji: Sequence[source.Emoji]) -> torch.Tensor:
    """[n, styles, 3, side, side] uint8."""
    drawn = [np.stack([picture(drawing) for drawing in one.drawings]) for one in emoji]

    return torch.from_numpy(np.stack(drawn)).permute(0, 1, 4, 2, 3).contiguous()


def captions_of(emoji: Sequence[source.Emoji]) -> list[Caption]:
    owned = nouns([(one.label, one.tags) for one in emoji])

    return [
        Caption(one.label, one.tags, is_expression=one.group == source.EXPRESSIONS, nouns=words)
        for one, words in zip(emoji, owned, strict=True)
    ]


def prompts_of(captions: Sequence[Caption]) -> list[list[str]]:
    """A few prompts for each, the same in every worker. None is empty."""
    random, others = Random(0), mentioned(captions)
    found = []
    for one in captions:
        drawn = (caption(one, random, others) for _ in count())
        found.append(list(islice(filter(None, drawn), _PROMPTS)))

    return found


def _begun(kind: Any, folder: Path) -> Weights:
    model: torch.nn.Module = kind.from_pretrained(folder, torch_dtype=torch.float32)

    return model.state_dict()

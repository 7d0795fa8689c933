"""The steps from pictures and captions to a model's folder, which every worker runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training import emoji as source
from training.autoencoder import DECODER, ENCODER, train_autoencoder
from training.captions import Caption, nouns
from training.codes import encode_views, fit
from training.denoiser import DENOISER, READER, new_tokenizer, train_denoiser, train_reader
from training.loop import Schedule
from training.model_folder import write_model
from training.views import both_ways, views_of
from training.workers import this_worker


def train_model(
    emoji: Sequence[source.Emoji],
    out: Path,
    work: Path,
    *,
    decoder: Schedule = DECODER,
    encoder: Schedule = ENCODER,
    reader: Schedule = READER,
    denoiser: Schedule = DENOISER,
) -> None:
    """Train on these emoji and write the model; checkpoints are kept in `work`."""
    pixels = torch.from_numpy(np.stack([source.picture(one.file) for one in emoji]))
    views = views_of(pixels, emoji)
    codes = fit(views)
    encoded = encode_views(codes, views)
    owned = nouns([(one.label, one.tags) for one in emoji])
    captions = [
        Caption(one.label, one.tags, is_expression=one.group == source.EXPRESSIONS, nouns=words)
        for one, words in zip(emoji, owned, strict=True)
    ]
    tokenizer = new_tokenizer(captions)
    autoencoder = train_autoencoder(views, encoded, work, decoder=decoder, encoder=encoder)
    reading = train_reader(captions, encoded[:, 0], tokenizer, work / "reader.pt", reader)
    pictures = both_ways(views, emoji)
    text_encoder, unet = train_denoiser(
        captions, pictures, codes, tokenizer, reading, work / "denoiser.pt", denoiser
    )
    if this_worker() == 0:
        write_model(
            out, autoencoder=autoencoder, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet
        )

"""From nothing to the model that ships, in one command; broken off, it goes on where it was.

    python -m training --out generation/emoji/model

Gets the pictures and labels with npm, or takes what --pictures and --labels name. Checkpoints are
in the folder that --work names, which may be deleted when the model is there.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training import emoji as source
from training.autoencoder import DECODER, ENCODER, train_autoencoder
from training.captions import Caption
from training.codes import encode_views, fit
from training.denoiser import DENOISER, READER, new_tokenizer, train_denoiser, train_reader
from training.loop import Schedule
from training.model_folder import write_model
from training.views import views_of


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
    codes = encode_views(fit(views), views)
    captions = [
        Caption(one.label, one.tags, is_expression=one.group == source.EXPRESSIONS) for one in emoji
    ]
    tokenizer = new_tokenizer(captions)
    autoencoder = train_autoencoder(views, codes, work, decoder=decoder, encoder=encoder)
    reading = train_reader(captions, codes, tokenizer, work / "reader.pt", reader)
    text_encoder, unet = train_denoiser(
        captions, codes, tokenizer, reading, work / "denoiser.pt", denoiser
    )
    write_model(
        out, autoencoder=autoencoder, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--work", type=Path, default=Path("emoji-training"))
    parser.add_argument("--pictures", type=Path, help="folder of fluent-emoji-3d's WebP files")
    parser.add_argument("--labels", type=Path, help="emojibase-data's en/data.json")
    given = parser.parse_args()
    pictures, labels = given.pictures, given.labels
    if pictures is None or labels is None:
        pictures, labels = source.fetch(given.work / "packages")

    train_model(source.read(pictures, labels), given.out, given.work)


if __name__ == "__main__":
    main()

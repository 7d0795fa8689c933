"""Trains the model that ships, in one command; run again after an interruption, it resumes.

    python -m training --out generation/emoji/model

Downloads the drawings and labels with npm into the folder --work, where checkpoints are written
too. It can be deleted when the model is complete. With --from, a model's weights are trained on;
choose another --work for each such run.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from training import emoji as source
from training.denoiser import DENOISER
from training.reader import READER
from training.recipe import train_model
from training.workers import learn_together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--work", type=Path, default=Path("emoji-training"))
    parser.add_argument(
        "--from", type=Path, dest="start", metavar="FOLDER", help="a model to go on from"
    )
    parser.add_argument("--reader-steps", type=int, default=READER.steps)
    parser.add_argument("--denoiser-steps", type=int, default=DENOISER.steps)
    given = parser.parse_args()
    emoji = source.fetched(given.work / "packages")
    learn_together(
        train_model,
        emoji,
        given.out,
        given.work,
        given.start,
        replace(READER, steps=given.reader_steps),
        replace(DENOISER, steps=given.denoiser_steps),
    )


if __name__ == "__main__":
    main()

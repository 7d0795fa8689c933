"""Trains the model that ships, in one command; run again after an interruption, it resumes.

    python -m training --out generation/emoji/model

Downloads the pictures and labels with npm, unless --pictures and --labels name them. Checkpoints
are written to the folder --work, which can be deleted when the model is complete.
"""

import argparse
from pathlib import Path

from training import emoji as source
from training.recipe import train_model
from training.workers import learn_together


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

    learn_together(train_model, source.read(pictures, labels), given.out, given.work)


if __name__ == "__main__":
    main()

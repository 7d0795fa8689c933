"""The tutorial's way to keep a vote: one train.csv, one flat folder, a commit per vote.

The calls are today's (0.65.1 has none of the tutorial's own); what is staged and committed when is
the same. `measured` runs it in a process of its own, for Oxen prints to standard output.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.support.facts import disk_bytes
from benchmarks.support.noise import write_noise

COLUMNS = ("prompt", "path", "rating", "voter_id")


class TutorialRepository:
    """An Oxen repository in a folder of its own. Not for two threads at once."""

    def __init__(self, root: Path) -> None:
        # Oxen's configuration is the operator's, and stays as it is.
        os.environ["OXEN_CONFIG_DIR"] = str(root.with_name(f"{root.name}-config"))
        from oxen import Repo
        from oxen.user import config_user

        (root / "images").mkdir(parents=True)
        config_user("tutorial", "tutorial@localhost")
        self._root = root
        self._train = root / "train.csv"
        self._repo = Repo(str(root))
        self._repo.init()
        with self._train.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerow(COLUMNS)

    def vote(self, image: Path, *, prompt: str, rating: str, voter_id: int) -> None:
        """Stage the image, add the row, commit."""
        path = f"images/{image.name}"
        shutil.copyfile(image, self._root / path)
        self._repo.add(str(self._root / path))
        with self._train.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerow((prompt, path, rating, voter_id))

        self._repo.add(str(self._train))
        self._repo.commit(prompt)


def measured(
    folder: Path, *, votes: int, kilobytes: int, most_s: float, every: int
) -> list[dict[str, Any]]:
    """How it stood after every so many votes, until all are kept or the time is over.

    Each point has `votes`, `seconds` and `oxen_bytes`, all since the beginning.
    """
    folder.mkdir(parents=True)
    points = folder / "points.jsonl"
    command = [
        *(sys.executable, "-m", "benchmarks.support.tutorial", str(folder)),
        *("--votes", str(votes), "--kilobytes", str(kilobytes)),
        *("--most-s", str(most_s), "--every", str(every)),
    ]
    with (folder / "log").open("wb") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True)

    return [json.loads(line) for line in points.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """What `measured` runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--votes", type=int, required=True)
    parser.add_argument("--kilobytes", type=int, required=True)
    parser.add_argument("--most-s", type=float, required=True)
    parser.add_argument("--every", type=int, required=True)
    options = parser.parse_args()

    images = write_noise(
        options.folder / "made", count=options.votes, kilobytes=options.kilobytes, seed=2
    )
    repository = TutorialRepository(options.folder / "dataset")
    seconds = 0.0
    with (options.folder / "points.jsonl").open("w", encoding="utf-8") as points:
        for number, image in enumerate(images, start=1):
            began = time.perf_counter()
            repository.vote(image, prompt="a fox in the snow", rating="good", voter_id=number)
            seconds += time.perf_counter() - began
            ends = number == len(images) or seconds > options.most_s
            if number % options.every == 0 or ends:
                size = disk_bytes(options.folder / "dataset" / ".oxen")
                point = {"votes": number, "seconds": round(seconds, 2), "oxen_bytes": size}
                points.write(json.dumps(point) + "\n")

            if ends:
                break


if __name__ == "__main__":
    main()

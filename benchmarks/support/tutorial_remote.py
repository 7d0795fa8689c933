"""The tutorial's way to send a vote to a server: add the image, insert the row, commit; each vote.

The tutorial's own calls (`RemoteRepo.add`, `add_df_row`, `commit`) translated to 0.65.1, where a
row is inserted through the workspace that `add` makes: some 13 requests, one after the other. Both
parts run in a process of their own, for Oxen prints to standard output and keeps the GIL.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.support.noise import noise_png, write_noise
from benchmarks.support.tutorial import COLUMNS

NAME = "ox/tutorial"
PROMPT = "a fox in the snow"


def prepare(folder: Path, url: str, *, votes: int, kilobytes: int) -> None:
    """Make the repository on the server at `url`, with so many votes, pushed in one commit."""
    _run(folder, url, "prepare", votes=votes, kilobytes=kilobytes, most_s=0)


def measured(
    folder: Path, url: str, *, votes: int, kilobytes: int, most_s: float
) -> tuple[int, float]:
    """Send so many votes, or as many as the time allows: how many, and in how many seconds."""
    _run(folder, url, "measure", votes=votes, kilobytes=kilobytes, most_s=most_s)
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))

    return figures["votes"], figures["seconds"]


def _run(folder: Path, url: str, what: str, *, votes: int, kilobytes: int, most_s: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "benchmarks.support.tutorial_remote", what, str(folder), url),
        *("--votes", str(votes), "--kilobytes", str(kilobytes), "--most-s", str(most_s)),
    ]
    # Oxen's configuration is the operator's, and stays as it is.
    environment = {**os.environ, "OXEN_CONFIG_DIR": str(folder / "config")}
    with (folder / "log").open("ab") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)


def _prepare(options: argparse.Namespace) -> None:
    from oxen import RemoteRepo, Repo

    root = options.folder / "dataset"
    images = write_noise(root / "images", count=options.votes, kilobytes=options.kilobytes, seed=2)
    with (root / "train.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for number, image in enumerate(images, start=1):
            table.writerow((PROMPT, f"images/{image.name}", "good", number))

    repo = Repo(str(root))
    repo.init()
    repo.add(str(root))
    repo.commit("the votes so far")
    RemoteRepo(NAME, urlsplit(options.url).netloc, scheme="http").create(empty=True)
    repo.set_remote("origin", f"{options.url}/{NAME}")
    repo.push("origin", "main")


def _measure(options: argparse.Namespace) -> None:
    from oxen import DataFrame, RemoteRepo

    randomness = random.Random()
    repo = RemoteRepo(NAME, urlsplit(options.url).netloc, scheme="http")
    votes, seconds = 0, 0.0
    while votes < options.votes and (seconds < options.most_s or votes == 0):
        image = options.folder / f"{randomness.randrange(2**64):016x}.png"
        image.write_bytes(noise_png(kilobytes=options.kilobytes, randomness=randomness))
        row = (PROMPT, f"images/{image.name}", "good", votes)
        began = time.perf_counter()
        workspace = repo.add(str(image), dst="images")
        DataFrame(workspace, "train.csv").insert_row(dict(zip(COLUMNS, row, strict=True)))
        repo.commit(PROMPT)
        seconds += time.perf_counter() - began
        votes += 1

    figures = {"votes": votes, "seconds": seconds}
    (options.folder / "figures.json").write_text(json.dumps(figures), encoding="utf-8")


def main() -> None:
    """What `prepare` and `measured` run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("prepare", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("url")
    parser.add_argument("--votes", type=int, required=True)
    parser.add_argument("--kilobytes", type=int, required=True)
    parser.add_argument("--most-s", type=float, required=True)
    options = parser.parse_args()

    from oxen.user import config_user

    config_user("tutorial", "tutorial@localhost")
    (_prepare if options.what == "prepare" else _measure)(options)


if __name__ == "__main__":
    main()

"""How fast the small model learns: in one process with one thread or two, and in two processes.

    python -m benchmarks.learning --steps 40

The training's own loop on made-up pictures; each of two processes learns from a part as large as
that of one alone. The first steps, in which memory is got, are left out. Prints JSON.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.support.facts import run
from training.captions import Caption
from training.codes import CHANNELS
from training.denoiser import BATCH, DENOISER, train_denoiser
from training.reader import LEARNT, ideal_embeddings, new_text_encoder, new_tokenizer, teach
from training.styles import STYLES
from training.workers import WORKERS, learn_together, this_worker

PICTURES = 48


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Pictures a second, each way."""
    one_thread = pictures_a_second(folder / "one", options.steps, threads=1)
    two_threads = pictures_a_second(folder / "two", options.steps, threads=2)
    learn_together(learn_a_part, folder, options.steps)
    each = float((folder / "each").read_text(encoding="utf-8"))

    return {
        "pictures_a_second": {
            "one_process_of_one_thread": round(one_thread, 1),
            "one_process_of_two_threads": round(two_threads, 1),
            "two_processes_of_one_thread": round(WORKERS * each, 1),
        }
    }


def learn_a_part(folder: Path, steps: int) -> None:
    """What each of several processes does; the first writes how fast it was."""
    rate = pictures_a_second(folder / "together", steps, threads=1)
    if this_worker() == 0:
        (folder / "each").write_text(str(rate), encoding="utf-8")


def pictures_a_second(work: Path, steps: int, *, threads: int) -> float:
    """Of this process, after two steps that are not counted."""
    torch.set_num_threads(threads)
    captions = [Caption(f"fox {n}", ("animal",), nouns=("fox",)) for n in range(PICTURES)]
    codes = torch.randn(PICTURES, len(STYLES), CHANNELS, 8, 8)
    text_encoder = new_text_encoder(new_tokenizer(captions), PICTURES)
    teach(text_encoder, torch.nn.Linear(LEARNT.stop, PICTURES + 1), codes)
    ideal = ideal_embeddings(text_encoder, PICTURES)
    captioned = ideal[:-1, None].half()

    def learn(count: int) -> float:
        began = time.monotonic()
        train_denoiser(
            codes, ideal, captioned, work / f"{count}.pt", replace(DENOISER, steps=count)
        )

        return time.monotonic() - began

    few = learn(2)

    return BATCH * steps / (learn(2 + steps) - few)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.learning")
    parser.add_argument("--steps", type=int, default=40)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("learning", parsed(), measure)


if __name__ == "__main__":
    main()

"""How the repository grows: bytes in `.oxen` and time, per vote, early and late.

    python -m benchmarks.growth --votes 20000 --kilobytes 20
    python -m benchmarks.growth --votes 1000 --kilobytes 450

Votes go to a VoteStore in groups of --together, each group settled before the next, every vote on
another image. What is around a vote count is measured over the two whole shards (512 votes) before
it. Bytes are allocated blocks and include the `generations` rows; time does not include putting the
images there. Then the same is done the tutorial's way, for as long as is allowed. Prints JSON.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support import tutorial
from benchmarks.support.facts import disk_bytes, run
from benchmarks.support.stock import KEEP_UNVOTED, REPOSITORY, SLOTS, oxen_folder, posted_sets
from storage.store import VoteStore
from storage.vote import Rating

SHARD = 256
MARKS = (1_000, 5_000, 20_000)
SETTLE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How it stood after so many votes."""

    votes: int
    seconds: float
    oxen_bytes: int
    image_bytes: int


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ours, then the tutorial's."""
    points = await _oxherd(folder / "data", options)
    theirs = await asyncio.to_thread(
        tutorial.measured,
        folder / "tutorial",
        votes=min(options.votes, options.tutorial_votes),
        kilobytes=options.kilobytes,
        most_s=options.tutorial_seconds,
        every=SHARD,
    )
    last = points[-1]
    around = {str(mark): _around(points, mark) for mark in MARKS if mark <= last.votes + SHARD}

    return {
        "oxherd": {
            "around_votes": around,
            "last_against_first": _ratios(around),
            "votes": last.votes,
            "oxen_bytes": last.oxen_bytes,
            "image_bytes": last.image_bytes,
            "oxen_bytes_per_image_byte": round(last.oxen_bytes / last.image_bytes, 3),
            "data_folder_bytes": disk_bytes(folder / "data"),
        },
        "tutorial": {
            "points": _thinned(theirs),
            "stopped_at_votes": theirs[-1]["votes"],
        },
    }


async def _oxherd(data: Path, options: argparse.Namespace) -> list[Point]:
    randomness = random.Random(options.seed)
    points = [Point(votes=0, seconds=0.0, oxen_bytes=0, image_bytes=0)]
    seconds, image_bytes = 0.0, 0
    async with VoteStore.open(data, repository=REPOSITORY, keep_unvoted=KEEP_UNVOTED) as store:
        while points[-1].votes < options.votes:
            sets = await posted_sets(
                store,
                count=min(SHARD, options.votes) // SLOTS,
                kilobytes=options.kilobytes,
                randomness=randomness,
            )
            await store.settle(SETTLE_S)
            images = [image for posted in sets for image in posted.images]
            began = time.perf_counter()
            for start in range(0, len(images), options.together):
                group = images[start : start + options.together]
                await asyncio.gather(*(store.vote(i.image_id, 1, Rating.GOOD) for i in group))
                await store.settle(SETTLE_S)

            seconds += time.perf_counter() - began
            image_bytes += sum(len(image.png) for image in images)
            points.append(
                Point(
                    votes=points[-1].votes + len(images),
                    seconds=seconds,
                    oxen_bytes=disk_bytes(oxen_folder(data)),
                    image_bytes=image_bytes,
                )
            )

    return points


def _around(points: Sequence[Point], mark: int) -> dict[str, float]:
    """The cost of a vote over the two whole shards up to the mark."""
    last = min(range(len(points)), key=lambda n: abs(points[n].votes - mark))
    late, early = points[last], points[max(0, last - 2)]
    votes = late.votes - early.votes

    return {
        "oxen_bytes_per_vote": round((late.oxen_bytes - early.oxen_bytes) / votes),
        "ms_per_vote": round(1000 * (late.seconds - early.seconds) / votes, 2),
    }


def _ratios(around: dict[str, dict[str, float]]) -> dict[str, float]:
    if len(around) < 2:
        return {}

    first, *_, last = around.values()

    return {name: round(last[name] / first[name], 3) for name in first}


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most a dozen, the last one always."""
    step = max(1, len(points) // 11)

    return [*points[:-1:step], points[-1]]


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.growth")
    parser.add_argument("--votes", type=int, default=20_000)
    parser.add_argument("--kilobytes", type=int, default=20)
    parser.add_argument("--together", type=int, default=16, help="votes that come at once")
    parser.add_argument("--tutorial-votes", type=int, default=5_000)
    parser.add_argument("--tutorial-seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("growth", parsed(), measure)


if __name__ == "__main__":
    main()

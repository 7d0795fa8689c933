"""How the repository grows: bytes in `.oxen` and time, per vote, early and late.

    python -m benchmarks.growth --votes 20000 --kilobytes 20
    python -m benchmarks.growth --votes 1000 --kilobytes 450
    python -m benchmarks.growth --votes 512 --together 1 --tutorial-votes 16
    python -m benchmarks.growth --votes 512 --pause-s 1 --commit-every-s 3 --check

Votes go to a VoteStore in groups of --together, each group settled before the next, every vote on
another image. With --pause-s they come alone instead, one after the other with that pause, and rest
for --commit-every-s. What is around a vote count is measured over the two whole shards (512 votes)
before it. Bytes are allocated blocks and include the `generations` rows; time does not include
putting the images there. Then the same is done the tutorial's way, for as long as is allowed. With
--check, exit status 1 if a vote takes more bytes than the bar. Prints JSON.
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
MANY = 10**6
MOST_BYTES_A_VOTE = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How it stood after so many votes."""

    votes: int
    seconds: float
    commits: int
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

    at_the_end = _around(points, last.votes)
    bytes_a_vote = at_the_end["oxen_bytes_per_vote"]

    return {
        "missed": (
            [f"{bytes_a_vote} bytes a vote, not {MOST_BYTES_A_VOTE}"]
            if bytes_a_vote > MOST_BYTES_A_VOTE
            else []
        ),
        "oxherd": {
            "at_the_end": at_the_end,
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
    seconds, image_bytes = 0.0, 0
    async with VoteStore.open(
        data,
        repository=REPOSITORY,
        keep_unvoted=KEEP_UNVOTED,
        commit_every_s=options.commit_every_s,
    ) as store:
        points = [Point(votes=0, seconds=0, commits=0, oxen_bytes=_oxen_bytes(data), image_bytes=0)]
        while points[-1].votes < options.votes:
            sets = await posted_sets(
                store,
                count=min(SHARD, options.votes) // SLOTS,
                kilobytes=options.kilobytes,
                randomness=randomness,
            )
            await store.settle(SETTLE_S)
            images = [image for posted in sets for image in posted.images]
            commits = len(await store.log(MANY))
            began = time.perf_counter()
            together = 1 if options.pause_s else options.together
            for start in range(0, len(images), together):
                group = images[start : start + together]
                await asyncio.gather(*(store.vote(i.image_id, 1, Rating.GOOD) for i in group))
                if options.pause_s:
                    await asyncio.sleep(options.pause_s)
                else:
                    await store.settle(SETTLE_S)

            await store.settle(SETTLE_S)
            seconds += time.perf_counter() - began
            image_bytes += sum(len(image.png) for image in images)
            points.append(
                Point(
                    votes=points[-1].votes + len(images),
                    seconds=seconds,
                    commits=points[-1].commits + len(await store.log(MANY)) - commits,
                    oxen_bytes=_oxen_bytes(data),
                    image_bytes=image_bytes,
                )
            )

    return points


def _oxen_bytes(data: Path) -> int:
    return disk_bytes(oxen_folder(data))


def _around(points: Sequence[Point], mark: int) -> dict[str, float]:
    """The cost of a vote over the two whole shards up to the mark."""
    last = min(range(len(points)), key=lambda n: abs(points[n].votes - mark))
    late, early = points[last], points[max(0, last - 2)]
    votes = late.votes - early.votes

    return {
        "oxen_bytes_per_vote": round((late.oxen_bytes - early.oxen_bytes) / votes),
        "ms_per_vote": round(1000 * (late.seconds - early.seconds) / votes, 2),
        "commits_per_vote": round((late.commits - early.commits) / votes, 3),
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
    parser.add_argument("--pause-s", type=float, default=0.0, help="votes come alone, so far apart")
    parser.add_argument("--commit-every-s", type=float, default=0.0, help="how long votes rest")
    parser.add_argument("--check", action="store_true", help="exit status 1 above the bar")
    parser.add_argument("--tutorial-votes", type=int, default=5_000)
    parser.add_argument("--tutorial-seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("growth", parsed(), measure)


if __name__ == "__main__":
    main()

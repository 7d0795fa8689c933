"""Kills `oxherd forget` and `oxherd refound` at random moments, and looks for the person.

    python -m tests.chaos.kill_forgetting --kills 50 --seed 1

In each round people vote, one of them is forgotten, and the dataset is made anew; both commands are
killed with their children after a random time. The bot's store is started after each kill, and the
command is given again, as an operator would. Then the person's id and prompt must be in no byte of
the folder, and everybody else's votes in the dataset exactly once. Prints JSON; exit status 1 if
anything was wrong.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from storage.dataset.writer_process import RepositorySettings
from storage.store import VoteStore
from storage.vote import NewSet, Rating
from tests.chaos.report import told
from tests.support.storage import kept_dataset
from tests.support.storage.data import PROVENANCE, a_request, a_set, four_images
from tests.support.storage.traces import traces
from tests.test_store import WEEK

ROOT = Path(__file__).parents[2]
PERSON = 987_654_321_012_345_678
SECRET = "a fox that nobody is to know of"
OTHERS = range(1, 8)
PATIENCE_S = 600.0


class Run:
    """One run on a folder; `report` has what happened."""

    def __init__(self, data: Path, *, seed: int) -> None:
        self._data = data
        self._random = random.Random(seed)
        self._votes: dict[tuple[str, int], str] = {}
        self._longest_s = {"forget": 3.0, "refound": 6.0}  # learned from those that ended
        self.kills: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.problems: list[str] = []

    async def round(self, number: int) -> None:
        """People vote, one is forgotten, the dataset is made anew."""
        async with self._store() as store:
            await self._vote(store, number)
            if self._random.random() < 0.5:  # else some votes are only in the journal
                await store.settle(PATIENCE_S)

        for command in (["forget", str(PERSON), "--requests"], ["refound"]):
            await self._killed(command)
            async with self._store() as store:
                await store.settle(PATIENCE_S)

            await self._check_votes(f"round {number}, {command[0]} killed")
            await self._ended(command)

        found = traces(self._data, user_id=PERSON, prompt=SECRET)
        self.problems += [f"round {number}: {trace}" for trace in found]
        await self._check_votes(f"round {number}")

    def _store(self) -> Any:
        return VoteStore.open(
            self._data,
            repository=RepositorySettings(),
            keep_unvoted=WEEK,
            commit_timeout_s=PATIENCE_S,
            flush_timeout_s=0.0,
        )

    async def _vote(self, store: VoteStore, number: int) -> None:
        requests = [a_set(f"others-{number}"), _theirs(number)]
        for request in requests:
            await store.add_request(request)
            await store.add_images(
                request.set_id, four_images(request.set_id), provenance=PROVENANCE
            )
            await store.mark_posted(request.set_id, 99)

        older = [image_id for image_id, _ in self._votes]
        for voter in (PERSON, *OTHERS):
            for image_id in [
                f"others-{number}-{self._random.randint(1, 4)}",
                f"theirs-{number}-{self._random.randint(1, 4)}",
                *self._random.sample(older, min(2, len(older))),
            ]:
                rating = self._random.choice(list(Rating))
                await store.vote(image_id, voter, rating)
                if voter != PERSON and image_id.startswith("others"):
                    self._votes[image_id, voter] = rating

    async def _killed(self, command: list[str]) -> None:
        process = await self._start(command)
        longest_s = self._longest_s[command[0]]
        try:
            async with asyncio.timeout(self._random.uniform(0, longest_s)):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            self.kills[command[0]] += 1
        else:
            self.ended[command[0]] += 1

    async def _ended(self, command: list[str]) -> None:
        started = time.monotonic()
        process = await self._start(command)
        output, _ = await process.communicate()
        self._longest_s[command[0]] = time.monotonic() - started
        if process.returncode != 0:
            self.problems.append(f"{command[0]}: {output.decode(errors='replace')[-500:]}")

    async def _start(self, command: list[str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *command,
            cwd=self._data.parent,
            env={**os.environ, "OXHERD_DATA": str(self._data), "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # so that its writer is killed with it
        )

    async def _check_votes(self, when: str) -> None:
        kept = await asyncio.to_thread(kept_dataset.read, self._data / "dataset")
        # While the person is not forgotten, there are their votes, and those on their images.
        found = {
            key: rating
            for key, rating in kept.ratings.items()
            if key[1] != PERSON and key[0].startswith("others")
        }
        self.problems += [f"{when}: {problem}" for problem in kept.problems]
        if found != self._votes:
            wrong = sorted(set(found.items()) ^ set(self._votes.items()))
            self.problems.append(f"{when}: votes differ: {wrong[:5]}")

    def report(self) -> dict[str, Any]:
        """What was done, and what was wrong."""
        return {
            "kills": dict(self.kills),
            "ended_before": dict(self.ended),
            "votes": len(self._votes),
            "problems": self.problems[:50],
            "problem_count": len(self.problems),
        }


async def chaos(data: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """The report of one run on a folder, which must not exist yet."""
    started = time.monotonic()
    run = Run(data, seed=seed)
    number = 0
    while run.kills.total() < kills and number < 2 * kills:
        await run.round(number)
        number += 1

    return {"seed": seed, **run.report(), "seconds": round(time.monotonic() - started, 1)}


def _theirs(number: int) -> NewSet:
    return NewSet(
        set_id=f"theirs-{number}",
        requester_id=PERSON,
        guild_id=20,
        channel_id=30,
        interaction_id=40,
        request=a_request(SECRET),
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.chaos.kill_forgetting"
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="kill-forgetting-") as folder:
        report = asyncio.run(chaos(Path(folder) / "data", kills=options.kills, seed=options.seed))

    return told(report)


if __name__ == "__main__":
    sys.exit(main())

"""Cuts the power under load, and holds the dataset to what was said before.

    python -m tests.chaos.power_cuts --cuts 20 --young 10
    python -m tests.chaos.power_cuts --cuts 10 --unsynced

The data folder is on an ext4 file system of its own, in an image on a loop device. A cut stops all
processes of the program, copies the image (what the disk had; the rest was in memory), ends them,
and mounts the copy. Then the program starts on it. So many of the cuts are made on a file system
that is new: every other one `--young-s` seconds after its creation at most, the rest soon after the
first vote. The cuts that are left are made one after the other on one file system. After every cut:
each acknowledged vote is there once, nothing else is, the bot starts, the last commit has the card,
and the working tree is what it has. Needs root. Prints JSON; exit status 1 if anything was wrong.
With --unsynced it is a control, which must find something: commits are left as Oxen leaves them.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil

from storage.dataset.card import MARKER
from tests.chaos.kill_nine import Chaos
from tests.chaos.report import told
from tests.support.discord import whole_program
from tests.support.discord.crowd import Crowd
from tests.support.discord.stub import DiscordStub

SIZE_MB = 1024

# In a process of its own: takes the card away and has Oxen put the last commit's back.
CARD_OF_HEAD = """
import sys
from pathlib import Path
from oxen import Repo
root = Path(sys.argv[1])
(root / "README.md").unlink()
Repo(str(root)).restore("README.md")
sys.stdout.write((root / "README.md").read_text())
"""


class Disk:
    """An ext4 file system in a file, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "disk.img"
        self.mounted = folder / "mounted"

    @classmethod
    @contextmanager
    def mount(cls, folder: Path) -> Iterator[Self]:
        """A new one, until the block ends."""
        disk = cls(folder)
        disk.mounted.mkdir(parents=True)
        with disk._image.open("wb") as file:
            file.truncate(SIZE_MB * 1_000_000)

        _call("mkfs.ext4", "-q", str(disk._image))
        disk._attach()
        try:
            yield disk
        finally:
            with suppress(subprocess.CalledProcessError):
                _call("umount", "--lazy", str(disk.mounted))

    def cut(self, processes: list[psutil.Process]) -> None:
        """Have the file system as it would be if the power failed now, without these processes."""
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()

        copy = self._image.with_suffix(".cut")
        _call("cp", "--sparse=always", str(self._image), str(copy))
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()

        psutil.wait_procs(processes, timeout=30)
        self._detach()
        copy.replace(self._image)
        self._attach()

    def _detach(self) -> None:
        """End processes that were being started meanwhile, until nothing holds the file system."""
        for _ in range(60):
            for process in whole_program.family(self.mounted / "data"):
                with suppress(psutil.NoSuchProcess):
                    process.kill()

            with suppress(subprocess.CalledProcessError):
                _call("umount", str(self.mounted))
                return

            time.sleep(0.5)

        raise TimeoutError(f"something holds {self.mounted}")

    def _attach(self) -> None:
        _call("mount", "-o", "loop", str(self._image), str(self.mounted))


class PowerCuts(Chaos):
    """One life of a disk."""

    def __init__(
        self, stub: DiscordStub, disk: Disk, *, seed: int, after_a_vote: bool, unsynced: bool
    ) -> None:
        settings = {**whole_program.QUICK, **({"UNSYNCED": "1"} if unsynced else {})}
        super().__init__(stub, disk.mounted / "data", seed=seed, settings=settings)
        self._disk = disk
        self._after_a_vote = after_a_vote
        self._created_at = time.monotonic()
        self.ages_s: list[float] = []

    async def run(self, *, kills: int, check_every: int, most_s: float) -> None:
        """Cut the power so many times, each within `most_s` of a start."""
        await self._start()
        if self._after_a_vote:
            await self.ledger.any_acknowledged.wait()

        for number in range(1, kills + 1):
            await self._kill_once(most_s=most_s)
            await self._stop_and_check()
            self.problems += await asyncio.to_thread(_card_problems, self._data / "dataset")
            if number < kills:
                await self._start()

    async def _kill_once(self, *, most_s: float) -> None:
        if self._after_a_vote:
            await self._moment_to_kill("tree", most_s=most_s)
        else:
            await asyncio.sleep(self._random.uniform(0, most_s))

        family = await asyncio.to_thread(whole_program.family, self._data)
        self.ages_s.append(round(time.monotonic() - self._created_at, 1))
        await asyncio.to_thread(self._disk.cut, family)
        self.kills["power"] += 1
        await self._program.process.wait()
        await self._start()


def missing() -> str | None:
    """Why power cannot be cut here; None if it can."""
    if os.geteuid() != 0:
        return "mounting a loop device needs root"

    return None if Path("/dev/loop-control").exists() else "there are no loop devices"


async def power_cuts(
    folder: Path,
    *,
    cuts: int,
    seed: int,
    most_s: float,
    after_a_vote: bool = False,
    unsynced: bool = False,
) -> dict[str, Any]:
    """The report of one disk's life, with so many cuts, each within `most_s` of a start.

    after_a_vote: the first cut is made after the first vote, and most others within `most_s` of the
    moment at which members can vote again. unsynced: without what makes commits survive.
    """
    async with DiscordStub.open() as stub:
        with Disk.mount(folder) as disk:
            run = PowerCuts(stub, disk, seed=seed, after_a_vote=after_a_vote, unsynced=unsynced)
            try:
                async with Crowd.at_work(stub, run.ledger, randomness=random.Random(seed)):
                    await run.run(kills=cuts, check_every=1, most_s=most_s)
            finally:
                await whole_program.sweep(disk.mounted / "data")
                await whole_program.gone(disk.mounted / "data", within_s=10)

        return {"seed": seed, "seconds_after_creation": run.ages_s, **run.report()}


def _card_problems(dataset: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CARD_OF_HEAD, str(dataset)],
        capture_output=True,
        text=True,
        check=False,
    )

    return [] if MARKER in done.stdout else [f"HEAD does not have the card: {done.stderr[-500:]}"]


def _call(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chaos.power_cuts")
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--young", type=int, default=10, help="so many on a new file system")
    parser.add_argument("--young-s", type=float, default=25.0)
    parser.add_argument("--most-s", type=float, default=10.0, help="longest life between cuts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unsynced", action="store_true", help="the control, which must fail")
    options = parser.parse_args()
    if (reason := missing()) is not None:
        sys.stderr.write(f"skipped: {reason}\n")
        return 0

    reports = []
    with tempfile.TemporaryDirectory(prefix="power-cuts-") as folder:
        # How many cuts, within how many seconds, of what.
        lives = [
            (1, options.most_s, True) if number % 2 else (1, options.young_s, False)
            for number in range(options.young)
        ]
        if options.cuts > options.young:
            lives.append((options.cuts - options.young, options.most_s, True))

        for number, (cuts, most_s, after_a_vote) in enumerate(lives):
            life = power_cuts(
                Path(folder) / str(number),
                cuts=cuts,
                seed=options.seed + number,
                most_s=most_s,
                after_a_vote=after_a_vote,
                unsynced=options.unsynced,
            )
            reports.append(asyncio.run(life))

    problems = sum(report["problem_count"] for report in reports)

    return told({"problem_count": problems, "lives": reports})


if __name__ == "__main__":
    sys.exit(main())

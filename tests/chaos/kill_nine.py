"""Kills the whole program at random moments under load, and holds the dataset to what was said.

    python -m tests.chaos.kill_nine --kills 200 --seed 1

Members ask for images and press buttons while the bot alone, the whole process tree, the writer or
a worker gets SIGKILL; then the program starts again on the same folder. After every few kills, and
at the end, it is stopped with SIGTERM and the dataset is read by a stranger: every vote that was
acknowledged is there once with its last rating, and nothing else is. Every request that was
acknowledged has its images at the end, once, or a sentence. Prints JSON; exit status 1 if anything
was wrong.
"""

import argparse
import asyncio
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil

from bot.chat.custom_ids import NotOurs, SetId
from storage.folder import DataFolder
from tests.chaos.report import told
from tests.support.discord import whole_program
from tests.support.discord.crowd import Crowd
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import WholeProgram
from tests.support.storage import kept_dataset
from tests.support.storage.vote_ledger import Ledger

# The whole tree as often as the bot alone: power cuts and the out-of-memory killer.
TARGETS = ("bot", "tree", "bot", "tree", "writer", "worker")
ORPHANS_END_WITHIN_S = 60.0
STARTS_UNTIL_COMMITTED = 5
FINISHED_WITHIN_S = 900.0  # only a limit: on a busy machine many requests wait at the end


class Chaos:
    """One run; `report` has what happened."""

    def __init__(
        self,
        stub: DiscordStub,
        data: Path,
        *,
        seed: int,
        settings: Mapping[str, str] = whole_program.QUICK,
        targets: Sequence[str] = TARGETS,
    ) -> None:
        self._stub = stub
        self._data = data
        self._settings = settings
        self._targets = targets
        self._random = random.Random(seed)
        self.ledger = Ledger()
        self.problems: list[str] = []
        self.kills: Counter[str] = Counter()
        self.checks = 0
        self.commits = 0
        self.rows = 0
        self.shown = 0
        self.requests = 0
        self.stops_that_left_votes = 0
        self._interrupted: set[str] = set()

    async def run(self, *, kills: int, check_every: int, most_s: float) -> None:
        """Kill so many times; each start lives at most *most_s* seconds once it is up."""
        await self._start()
        await self.ledger.any_acknowledged.wait()  # from now on there is something to lose
        for number in range(1, kills + 1):
            await self._kill_once(most_s=most_s)
            if number % check_every == 0:
                await self._stop_and_check()
                await self._start()

    async def finish(self) -> None:
        """With nobody at work any more: all requests are made, then the last check."""
        await self._connected()
        for _ in range(int(FINISHED_WITHIN_S / 0.1)):
            if not _unfinished(self._data):
                break

            await asyncio.sleep(0.1)

        self.problems += [f"request {set_id} waits for ever" for set_id in _unfinished(self._data)]
        self.problems += self._left_waiting()
        self.problems += self._requests_made_once()
        await self._stop_and_check()

    async def _start(self) -> None:
        self._interrupted = _unfinished(self._data)
        self._program = await WholeProgram.start(self._stub, self._data, settings=self._settings)

    async def _connected(self) -> None:
        try:
            await self._program.connected(self._stub)
        except RuntimeError as exc:
            self.problems.append(str(exc))

    async def _kill_once(self, *, most_s: float) -> None:
        """Kill something, and have the program running again."""
        target = self._random.choice(self._targets)
        await self._moment_to_kill(target, most_s=most_s)
        if self._program.process.returncode is not None:
            self.problems.append(f"it ended by itself:\n{self._program.log_end()}")
            await self._start()
            return

        family = whole_program.family(self._data)
        victims = [process for process in family if whole_program.role(process) == target]
        if target not in ("bot", "tree") and victims:
            self._kill(target, victims)
            return

        # Where there is no such process at the moment, the bot dies instead: a kill is a kill.
        target = "tree" if target == "tree" else "bot"
        bot = psutil.Process(self._program.process.pid)
        self._kill(target, family if target == "tree" else [bot])
        await self._program.process.wait()
        if self._random.random() < 0.3:
            await self._orphans_end()

        await self._start()

    async def _moment_to_kill(self, target: str, *, most_s: float) -> None:
        # Of the bot and the tree, two in ten die while they start.
        if target not in ("bot", "tree") or self._random.random() < 0.8:
            await self._connected()

        await asyncio.sleep(self._random.uniform(0, most_s))

    def _kill(self, target: str, victims: list[psutil.Process]) -> None:
        self.kills[target] += 1
        _kill(victims)

    async def _stop_and_check(self) -> None:
        """Stop it, and read what it kept. On a busy machine a stop may be over before the last
        commit is: the votes wait in the journal, and the next start commits them."""
        await self._stop()
        for _ in range(STARTS_UNTIL_COMMITTED):
            if not _uncommitted(self._data):
                break

            self.stops_that_left_votes += 1
            await self._start()
            await self._stop()

        kept = await asyncio.to_thread(kept_dataset.read, self._data / "dataset")
        wrong, self.commits = await kept_dataset.ask_oxen(self._data / "dataset")
        self.checks += 1
        self.rows, self.shown = len(kept.ratings), len(kept.shown)
        self.problems += [*kept.problems, *wrong, *self.ledger.compare(kept.ratings)]
        self.problems += self._posted_and_kept(kept.shown)

    async def _stop(self) -> None:
        """As a supervisor would, once it has made what the last kill interrupted: images that were
        posted just before may have no row until then."""
        await self._connected()
        for _ in range(int(FINISHED_WITHIN_S / 0.1)):
            if not self._interrupted & _unfinished(self._data):
                break

            await asyncio.sleep(0.1)

        try:
            status = await self._program.stop()
        except TimeoutError:
            self.problems.append(f"it did not stop:\n{self._program.log_end()}")
            _kill(whole_program.family(self._data))
            await self._program.process.wait()
        else:
            if status != 0:
                self.problems.append(f"exit status {status} on SIGTERM:\n{self._program.log_end()}")

        await self._orphans_end()
        # Answers that were on their way have arrived; nobody can press while it is down.
        await asyncio.sleep(0.2)

    def _left_waiting(self) -> list[str]:
        """Messages that still offer to cancel what nobody is making."""
        return [
            f"message {message.id} still offers to cancel"
            for message in self._stub.messages.values()
            if any(":cancel:" in custom_id for custom_id in message.buttons)
        ]

    def _requests_made_once(self) -> list[str]:
        """Each request that was acknowledged has its images in one message, or a sentence."""
        with_images: Counter[str] = Counter()
        ended: set[str] = set()
        accepted: set[str] = set()
        for message in self._stub.messages.values():
            for button in filter(None, map(_set_button, message.buttons)):
                if button.action == "cancel":
                    accepted.add(button.set_id)
                elif button.action == "again" and message.attachments:
                    with_images[button.set_id] += 1
                elif button.action == "again":
                    ended.add(button.set_id)

        self.requests = len(with_images) + len(ended)

        return [
            *(f"request {set_id} was made twice" for set_id, n in with_images.items() if n > 1),
            *(f"request {set_id} was dropped" for set_id in accepted - ended - set(with_images)),
        ]

    def _posted_and_kept(self, shown: Mapping[str, str]) -> list[str]:
        """What members saw is what `generations` says, byte for byte, and all of it."""
        return [
            f"{name} was posted, and generations says {shown.get(name.removesuffix('.png'))}"
            for name, digest in self._stub.sha256.items()
            if shown.get(name.removesuffix(".png")) != digest
        ]

    async def _orphans_end(self) -> None:
        left = await whole_program.gone(self._data, within_s=ORPHANS_END_WITHIN_S)
        if left:
            self.problems.append(f"processes outlived the bot: {left}")
            await whole_program.sweep(self._data)

    def report(self) -> dict[str, Any]:
        """What was done, and what was wrong."""
        problems = [*self.problems, *self.ledger.problems]

        return {
            "kills": dict(self.kills),
            "checks": self.checks,
            "stops_that_left_votes": self.stops_that_left_votes,
            "commits": self.commits,
            "rows": self.rows,
            "images_shown": self.shown,
            "requests_ended": self.requests,
            "votes": dict(self.ledger.counts),
            "problems": problems[:50],
            "problem_count": len(problems),
        }


async def chaos(data: Path, *, kills: int, seed: int, check_every: int, most_s: float) -> Any:
    """The report of one run on a folder, which must not exist yet."""
    started = time.monotonic()
    async with DiscordStub.open() as stub:
        run = Chaos(stub, data, seed=seed)
        try:
            async with Crowd.at_work(
                stub, run.ledger, randomness=random.Random(seed), voters=30
            ) as crowd:
                await run.run(kills=kills, check_every=check_every, most_s=most_s)

            await run.finish()
        finally:
            await whole_program.sweep(data)

        return {
            "seed": seed,
            **run.report(),
            "members": dict(crowd.counts),
            "unknown_requests": stub.unknown,
            "seconds": round(time.monotonic() - started, 1),
        }


def _set_button(custom_id: str) -> SetId | None:
    try:
        return SetId.parse(custom_id)
    except NotOurs:
        return None


def _uncommitted(data: Path) -> int:
    """How many votes and images the journal says are not in the dataset."""
    with closing(sqlite3.connect(DataFolder(data).journal)) as journal:
        (found,) = journal.execute(
            "SELECT (SELECT count(*) FROM votes WHERE seq > committed_seq)"
            " + (SELECT count(*) FROM images WHERE seq > committed_seq) FROM watermark"
        ).fetchone()

    return int(found)


def _unfinished(data: Path) -> set[str]:
    """The sets that wait or run, as the journal says."""
    path = DataFolder(data).journal
    if not path.exists():
        return set()

    with closing(sqlite3.connect(path)) as journal:
        try:
            found = journal.execute("SELECT set_id FROM sets WHERE state = 'waiting'")
        except sqlite3.OperationalError:  # it was killed while it made the journal
            return set()

        return {set_id for (set_id,) in found}


def _kill(victims: list[psutil.Process]) -> None:
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chaos.kill_nine")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check-every", type=int, default=20)
    parser.add_argument("--most-s", type=float, default=3.0, help="longest life between kills")
    parser.add_argument("--data", type=Path, help="keep the folder here")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="kill-nine-") as folder:
        report = asyncio.run(
            chaos(
                options.data or Path(folder) / "data",
                kills=options.kills,
                seed=options.seed,
                check_every=options.check_every,
                most_s=options.most_s,
            )
        )

    return told(report)


if __name__ == "__main__":
    sys.exit(main())

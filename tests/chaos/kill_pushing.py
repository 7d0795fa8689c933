"""Kills the whole program at random moments of pushing, and holds the server to what was said.

    python -m tests.chaos.kill_pushing --kills 100 --seed 1

Needs oxen-server (`make oxen-server`). As `kill_nine`, but votes also go to a real server, over a
slow line, and each kill falls into a push: of the bot alone, the process tree, the writer or the
pusher. After every few kills, and at the end, the program is stopped, a stranger clones what the
server has, and that is compared with what the members were told. Nothing may be left behind either,
on the host or on the server. Prints JSON; exit status 1 if anything was wrong.
"""

import argparse
import asyncio
import logging
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp import web

from storage.folder import DataFolder
from tests.chaos.kill_nine import Chaos
from tests.chaos.report import told
from tests.support.discord import whole_program
from tests.support.discord.crowd import Crowd
from tests.support.discord.stub import DiscordStub
from tests.support.remote.bench import cloned
from tests.support.remote.faulty_proxy import FaultyProxy
from tests.support.remote.oxen_server import OxenServer

REPOSITORY = "/ox/votes"
TARGETS = ("bot", "tree", "writer", "pusher")
SHORTEST_DELAY_S, LONGEST_DELAY_S = 0.005, 0.020
A_PUSH_WITHIN_S = 60.0
STARTS_UNTIL_PUSHED = 5


class SlowLine:
    """Delays every request by chance, and knows when a push is under way."""

    def __init__(self, proxy: FaultyProxy, randomness: random.Random) -> None:
        self._random = randomness
        self._began_s = 0.0
        self.begins = asyncio.Event()
        self.longest_s = 0.5  # of the last few pushes
        self.pushes = 0
        self.last = ""
        proxy.every = self._delay

    @property
    def is_pushing(self) -> bool:
        return self.begins.is_set()

    async def _delay(self, _: FaultyProxy, request: web.Request, __: bytes) -> None:
        self.last = re.sub(r"[0-9a-f]{20,}", "…", f"{request.method} {request.path}")
        if request.path.endswith("/action/started/push"):
            self._began_s = time.monotonic()
            self.begins.set()

        await asyncio.sleep(self._random.uniform(SHORTEST_DELAY_S, LONGEST_DELAY_S))
        if request.path.endswith("/action/completed/push"):
            took_s = time.monotonic() - self._began_s
            self.longest_s = max(took_s, 0.8 * self.longest_s)
            self.pushes += 1
            self.begins.clear()


class PushingChaos(Chaos):
    """One run; `report` has what happened."""

    def __init__(
        self,
        stub: DiscordStub,
        data: Path,
        *,
        seed: int,
        server: OxenServer,
        proxy: FaultyProxy,
    ) -> None:
        temporary = data.with_name("tmp")
        temporary.mkdir(parents=True)
        settings = {
            **whole_program.QUICK,
            "OXHERD_REMOTE": f"{proxy.url}{REPOSITORY}",
            "TMPDIR": str(temporary),
        }
        super().__init__(stub, data, seed=seed, settings=settings, targets=TARGETS)
        self._temporary = temporary
        self._server = server
        self._line = SlowLine(proxy, random.Random(seed))
        self._after: Counter[str] = Counter()
        self.stops_that_left_commits = 0
        self.rows_on_the_server = 0
        self.tree_bytes: dict[str, int] = {}

    async def run(self, *, kills: int, check_every: int, most_s: float) -> None:
        """Kill so many times in a push; *most_s* is not needed: a push lasts as it lasts."""
        await self._start()
        checked = 0
        while (done := self._after.total()) < kills:
            if done >= checked + check_every:
                await self._stop_and_check()
                await self._start()
                checked = done

            await self._kill_once(most_s=most_s)

    async def _moment_to_kill(self, target: str, *, most_s: float) -> None:
        """A random moment of the next push; of none, if the push is over before."""
        self._line.begins.clear()
        try:
            async with asyncio.timeout(A_PUSH_WITHIN_S):
                await self._line.begins.wait()
        except TimeoutError:
            self.problems.append(f"nothing was pushed:\n{self._program.log_end()}")

        await asyncio.sleep(self._random.uniform(0, self._line.longest_s))

    def _kill(self, target: str, victims: list[psutil.Process]) -> None:
        if self._line.is_pushing:
            self._after[self._line.last] += 1
        else:
            target = f"{target}, the push was over"

        super()._kill(target, victims)

    async def _stop_and_check(self) -> None:
        """The dataset here, and then what the server has, which must be the same."""
        await super()._stop_and_check()
        for _ in range(STARTS_UNTIL_PUSHED):
            if not self._commits_left():
                break

            self.stops_that_left_commits += 1
            await self._start()
            await super()._stop_and_check()

        if left := self._commits_left():
            self.problems.append(f"{left} commits are not pushed:\n{self._program.log_end()}")

        clone = self._data.with_name("clone")
        kept = await cloned(f"{self._server.url}{REPOSITORY}", clone)
        self.rows_on_the_server = len(kept.ratings)
        wrong = [*kept.problems, *self.ledger.compare(kept.ratings)]
        wrong += self._posted_and_kept(kept.shown)
        self.problems += [f"on the server: {problem}" for problem in wrong]
        self.problems += await self._left_behind()
        # A reader that died in a transaction would let the tree here outgrow the server's.
        self.tree_bytes = {
            "here": _tree_bytes(self._data / "dataset"),
            "on the server": _tree_bytes(self._server.folder / REPOSITORY[1:]),
        }
        for folder in (clone, clone.with_name("clone-config")):
            shutil.rmtree(folder)

    def _commits_left(self) -> int:
        """How many commits the journal says are not on the server."""
        with closing(sqlite3.connect(DataFolder(self._data).journal)) as journal:
            found = journal.execute(
                "SELECT watermark.commits - remote.commits FROM watermark, remote"
            ).fetchone()

        return int(found[0])

    async def _left_behind(self) -> list[str]:
        """What a stopped program and a server at rest should not have."""
        folder = self._server.folder / REPOSITORY[1:] / ".oxen"
        found = [
            *DataFolder(self._data).shared.iterdir(),
            *self._temporary.iterdir(),
            *(folder / "tmp").rglob("*"),
            *(file for file in folder.rglob("*") if re.search(r"\.(tmp|part)|chunk", file.name)),
            *(
                file
                for file in (folder / "versions").rglob("*")
                if file.is_file() and (file.name != "data" or not file.stat().st_size)
            ),
        ]
        left = [f"left behind: {path}" for path in found]
        url = f"{self._server.url}/api/repos{REPOSITORY}/workspaces"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            workspaces = (await answer.json())["workspaces"]

        return left + [f"left on the server: the workspace {space}" for space in workspaces]

    def report(self) -> dict[str, Any]:
        """What was done, and what was wrong."""
        return {
            "kills_in_a_push": self._after.total(),
            "last_request_before": dict(self._after.most_common()),
            "pushes_completed": self._line.pushes,
            "stops_that_left_commits": self.stops_that_left_commits,
            "rows_on_the_server": self.rows_on_the_server,
            "tree_bytes": self.tree_bytes,
            **super().report(),
        }


def _tree_bytes(repository: Path) -> int:
    return (repository / ".oxen" / "tree" / "nodes_lmdb" / "data.mdb").stat().st_size


async def chaos(folder: Path, *, kills: int, seed: int, check_every: int) -> dict[str, Any]:
    """The report of one run in a folder."""
    started = time.monotonic()
    data = folder / "data"
    async with (
        DiscordStub.open() as stub,
        OxenServer.running(folder / "server") as server,
        FaultyProxy.before(server.url) as proxy,
    ):
        run = PushingChaos(stub, data, seed=seed, server=server, proxy=proxy)
        try:
            async with Crowd.at_work(stub, run.ledger, randomness=random.Random(seed)) as crowd:
                await run.run(kills=kills, check_every=check_every, most_s=0)

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


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chaos.kill_pushing")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check-every", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    options = parser.parse_args()
    # Whoever is killed hangs up in the middle of a request.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)

    with tempfile.TemporaryDirectory(prefix="kill-pushing-") as folder:
        report = asyncio.run(
            chaos(
                options.folder or Path(folder),
                kills=options.kills,
                seed=options.seed,
                check_every=options.check_every,
            )
        )

    return told(report)


if __name__ == "__main__":
    sys.exit(main())

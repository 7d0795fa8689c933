"""Two ways to bring votes to an Oxen server: push the branch, or commit through a workspace.

    python -m benchmarks.remote_ways --sizes 100 1000 10000

Both start with a repository of the same size on the server, in oxherd's layout, and send the same
votes: their images and the shards that changed. Pushing sends what the local repository committed;
a workspace of the server gets the files, and the server commits. Local commits are not timed. At
the end each way is killed before its first request, its second and so on: what is on the server
then, and whether doing it again leaves the votes there once. Needs oxen-server. Prints JSON.
"""

import argparse
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Concatenate, ParamSpec, TypeVar

from aiohttp import web

from benchmarks.support.facts import run
from benchmarks.support.noise import noise_png
from storage.dataset.columns import TRAIN_COLUMNS
from storage.dataset.layout import csv_file, image_path, train_path
from storage.dataset.repository import Changes
from storage.errors import RemoteError, RemoteUnavailable, StorageError
from storage.journal.shards import ShardSizes
from storage.processes.child import ChildProcess
from storage.processes.thread import OneThread
from storage.remote.oxen_errors import remote_errors
from storage.remote.settings import RemoteSettings
from tests.support.remote.faulty_proxy import Fault, FaultyProxy, passed
from tests.support.remote.oxen_server import OxenServer

P = ParamSpec("P")
R = TypeVar("R")

WAYS = ("push", "workspace")
BRANCH = "main"
STOCKED_TOGETHER = 256
PATIENCE_S = 600.0
SIZES = ShardSizes()


class Sender:
    """A local repository with two remotes, one for each way. Calls block; lives in a process."""

    def __init__(self, folder: Path, url: str, *, kilobytes: int) -> None:
        from storage.dataset.oxen import OxenRepository, OxenSettings
        from storage.remote.oxen import OxenRemote

        config = folder / "config"
        self._folder = folder
        self._kilobytes = kilobytes
        self._repository = OxenRepository.open(
            OxenSettings(path=folder / "dataset", config_dir=config, journal_id="0")
        )
        self._settings = {
            way: RemoteSettings.at(f"{url}/ox/{way}", branch=BRANCH, token="", create=True)
            for way in WAYS
        }
        self._remotes = {
            way: OxenRemote.open(settings, config_dir=config)
            for way, settings in self._settings.items()
        }

    def keep(self, first: int, votes: int) -> list[str]:
        """Commit votes locally, each on another image; the files that changed."""
        numbers = range(first, first + votes)
        images = {_image(number): self._made(number) for number in numbers}
        shards = sorted({number // SIZES.train_rows for number in numbers})
        files = {train_path(shard): _shard(shard, first + votes) for shard in shards}
        self._repository.apply(Changes(files=files, images=images, removals=()))
        self._repository.commit(f"{votes} votes")
        shutil.rmtree(self._folder / "made")

        return [*images, *files]

    def push(self, way: str = "push") -> None:
        """Push the branch as the bot does."""
        # Another folder each time: Oxen keeps what it knows of a path for as long as it runs.
        share = self._folder / f"share-{time.monotonic_ns()}"
        self._repository.share(share)
        try:
            self._remotes[way].push(share, branch=BRANCH)
        finally:
            shutil.rmtree(share)

    def workspace(self, paths: Sequence[str]) -> None:
        """Let the server commit the files."""
        from oxen import Workspace

        with remote_errors(self._settings["workspace"], doing="committing"):
            workspace = Workspace(self._server_side("workspace"), BRANCH)
            workspace.add_files(self._folder / "dataset", paths)
            workspace.commit(f"{len(paths)} files")

    def send(self, way: str, paths: Sequence[str]) -> None:
        """Send what was kept last, one way or the other."""
        if way == "push":
            self.push()
        else:
            self.workspace(paths)

    def state(self, way: str) -> dict[str, Any]:
        """What the server has: its newest commit, how many there are, and open workspaces."""
        remote = self._server_side(way)
        history = remote.log(page_size=1)

        return {
            "head": remote.get_branch(BRANCH).commit_id,
            "commits": history.pagination.total_entries,
            "workspaces": len(remote.list_workspaces()),
        }

    def _server_side(self, way: str) -> Any:
        from oxen import RemoteRepo

        settings = self._settings[way]

        return RemoteRepo(f"ox/{way}", settings.host, scheme=settings.scheme)

    def _made(self, number: int) -> Path:
        path = self._folder / "made" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(noise_png(kilobytes=self._kilobytes, randomness=random.Random(number)))

        return path


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Each size, and then what a kill leaves behind."""
    sizes = [await _at_size(folder / str(size), size, options) for size in options.sizes]
    killed = {way: await _killed(folder / f"killed-{way}", way, options) for way in WAYS}

    return {"sizes": sizes, "killed": killed}


async def _at_size(folder: Path, size: int, options: argparse.Namespace) -> dict[str, Any]:
    figures = []
    async with _bench(folder, options) as bench:
        await bench.stock(size)
        kept = size
        for delay_ms in options.delays_ms:
            bench.proxy.delay_s = delay_ms / 1000
            for together in options.together:
                times: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
                for _ in range(options.times):
                    paths = await bench.call(Sender.keep, first=kept, votes=together)
                    kept += together
                    times["push"].append(await bench.timed(Sender.push))
                    times["workspace"].append(await bench.timed(Sender.workspace, paths))

                figures.append(
                    {
                        "delay_ms": delay_ms,
                        "votes_together": together,
                        **{way: _summed_up(times[way], together) for way in WAYS},
                    }
                )

    return {"votes_before": size, "sent": figures}


def _summed_up(times: Sequence[tuple[float, int]], together: int) -> dict[str, float]:
    return {
        "ms": round(1000 * median(seconds for seconds, _ in times)),
        "ms_per_vote": round(1000 * median(seconds for seconds, _ in times) / together, 1),
        "requests": median(requests for _, requests in times),
    }


async def _killed(folder: Path, way: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Killed before each of the requests that one vote takes, and then done again."""
    outcomes: list[dict[str, Any]] = []
    async with _bench(folder, options) as bench:
        await bench.stock(SIZES.train_rows)
        kept = SIZES.train_rows
        while not outcomes or outcomes[-1]["killed_before"] is not None:
            paths = await bench.call(Sender.keep, first=kept, votes=1)
            kept += 1
            before = await bench.call(Sender.state, way)
            asked_before = len(bench.proxy.requests)
            bench.proxy.faults = [*[passed()] * len(outcomes), bench.kill()]
            await bench.tried(Sender.send, way, paths)
            killed = not bench.proxy.faults
            bench.proxy.faults = []
            at = bench.proxy.requests[asked_before:][len(outcomes)] if killed else None
            left = await bench.call(Sender.state, way)
            again = await bench.tried(Sender.send, way, paths) if killed else None
            after = await bench.call(Sender.state, way)
            outcomes.append(
                {
                    "killed_before": at,
                    "branch_moved": left["head"] != before["head"],
                    "workspaces_left": left["workspaces"] - before["workspaces"],
                    "done_again": again,
                    "commits_after_that": after["commits"] - before["commits"],
                    "workspaces_after_that": after["workspaces"] - before["workspaces"],
                }
            )

    return outcomes


class Bench:
    """A server, a proxy before it, and the sender in its process, which may be killed."""

    def __init__(
        self, start: Callable[[], ChildProcess[Sender]], *, proxy: FaultyProxy, thread: OneThread
    ) -> None:
        self._start = start
        self._process: ChildProcess[Sender] | None = None
        self._thread = thread
        self.proxy = proxy

    async def stock(self, votes: int) -> None:
        """Both of the server's repositories get so many."""
        for first in range(0, votes, STOCKED_TOGETHER):
            await self.call(Sender.keep, first=first, votes=min(STOCKED_TOGETHER, votes - first))

        for way in WAYS:
            await self.call(Sender.push, way)

    async def call(
        self, method: Callable[Concatenate[Sender, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The sender's answer."""

        def call() -> R:
            if self._process is None or not self._process.is_alive():
                self._process = self._start()
                self._process.wait_until_open()

            return self._process.call(method, *args, **kwargs)

        return await self._thread.run(call)

    async def timed(
        self, method: Callable[Concatenate[Sender, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[float, int]:
        """Its seconds and its requests."""
        asked_before = len(self.proxy.requests)
        began = time.monotonic()
        await self.call(method, *args, **kwargs)

        return time.monotonic() - began, len(self.proxy.requests) - asked_before

    async def tried(
        self, method: Callable[Concatenate[Sender, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> str:
        """What came of it."""
        try:
            await self.call(method, *args, **kwargs)
        except StorageError as exc:
            return str(exc)[:200]

        return "done"

    def kill(self) -> Fault:
        """The request arrives at nobody, and who sent it is dead."""

        async def killed(_: FaultyProxy, __: web.Request, ___: bytes) -> web.StreamResponse:
            if self._process is not None:
                self._process.kill()

            return web.Response(status=502)

        return killed

    async def close(self) -> None:
        """Let the sender end."""
        if self._process is not None:
            await self._thread.run(self._process.close)


@asynccontextmanager
async def _bench(folder: Path, options: argparse.Namespace) -> AsyncIterator[Bench]:
    async with (
        OxenServer.running(folder / "server") as server,
        FaultyProxy.before(server.url) as proxy,
        OneThread.open("sender") as thread,
    ):
        start = partial(
            ChildProcess.start,
            partial(Sender, folder, proxy.url, kilobytes=options.kilobytes),
            name="sender",
            log_path=folder / "sender.log",
            gone=RemoteUnavailable.while_,
            unexpected=RemoteError.refused,
            timeout_s=PATIENCE_S,
        )
        bench = Bench(start, proxy=proxy, thread=thread)
        try:
            yield bench
        finally:
            await bench.close()


def _image(number: int) -> str:
    return image_path(f"{number:022d}", shard=number // SIZES.images)


def _shard(shard: int, votes: int) -> bytes:
    """The shard's rows when there are so many votes."""
    first = shard * SIZES.train_rows
    rows = [
        ("a fox in the snow", _image(number), "good", str(number), f"{number:022d}")
        for number in range(first, min(first + SIZES.train_rows, votes))
    ]

    return csv_file(TRAIN_COLUMNS[:5], rows)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.remote_ways")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--delays-ms", type=float, nargs="+", default=[0, 20])
    parser.add_argument("--together", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--kilobytes", type=int, default=20)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("remote_ways", parsed(), measure)


if __name__ == "__main__":
    main()

"""A backlog of large commits over a slow line to a real server: how much of it is sent twice.

    python -m benchmarks.slow_line --check

Needs oxen-server (`make oxen-server`). Each commit has one vote and one image of noise; all are
made before the first push. The line carries so many bytes a second, of all connections together;
with --standstill-s it carries nothing for that long, from the moment at which a third of the
backlog has arrived. Prints JSON. With --check, exit status 1 if more than 1.5 times the backlog was
sent, or not all of it arrived.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.support.facts import run
from storage.store import VoteStore
from tests.support.remote.backlog import make_backlog
from tests.support.remote.bench import cloned, open_store
from tests.support.remote.oxen_server import OxenServer
from tests.support.remote.slow_line import SlowLine

SETTLE_S = 900.0
POLL_S = 0.05
MOST_TIMES = 1.5  # of the backlog


async def measure(folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    """Make the backlog, then push it."""
    data = folder / "data"
    image_bytes = round(1e6 * options.megabytes / options.commits)
    await make_backlog(data, commits=options.commits, image_bytes=image_bytes)
    backlog = options.commits * image_bytes
    errors: list[str] = []
    async with (
        OxenServer.running(folder / "server") as server,
        SlowLine.before(server.url, bytes_per_s=1e6 * options.megabytes_per_s) as line,
    ):
        url = f"{line.url}/ox/votes"
        async with open_store(data, url, push_timeout_s=options.timeout_s) as store:
            began = time.monotonic()
            watching = asyncio.create_task(_note_errors(store, errors))
            stopping = asyncio.create_task(_stand_still(line, backlog, options.standstill_s))
            settled = await store.settle(SETTLE_S)
            seconds = time.monotonic() - began
            for task in (watching, stopping):
                task.cancel()

        found = await cloned(f"{server.url}/ox/votes", folder / "clone") if settled else None

    arrived = found is not None and not found.problems and len(found.ratings) == options.commits
    times = line.sent / backlog

    return {
        "backlog_mb": round(backlog / 1e6, 2),
        "commits": options.commits,
        "seconds": round(seconds, 1),
        "sent_mb": round(line.sent / 1e6, 2),
        "sent_by_backlog": round(times, 3),
        "errors": errors,
        "all_arrived": arrived,
        "missed": [
            *([] if arrived else ["not everything arrived"]),
            *([f"sent {times:.2f} times the backlog"] if times > MOST_TIMES else []),
        ],
    }


async def _note_errors(store: VoteStore, errors: list[str]) -> None:
    """Every error of a push, once."""
    while True:
        remote = (await store.status()).remote
        error = None if remote is None else remote.last_error
        if error is not None and error not in errors[-1:]:
            errors.append(error)

        await asyncio.sleep(POLL_S)


async def _stand_still(line: SlowLine, backlog: int, seconds: float) -> None:
    if seconds:
        while line.sent < backlog / 3:  # noqa: ASYNC110  # other tasks
            await asyncio.sleep(POLL_S)

        line.moving.clear()
        await asyncio.sleep(seconds)
        line.moving.set()


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.slow_line")
    parser.add_argument("--megabytes", type=float, default=28.8, help="the whole backlog")
    parser.add_argument("--commits", type=int, default=8)
    parser.add_argument("--megabytes-per-s", type=float, default=1.0)
    parser.add_argument("--timeout-s", type=float, default=10.0, help="OXHERD_PUSH_TIMEOUT_S")
    parser.add_argument("--standstill-s", type=float, default=0.0)
    parser.add_argument("--check", action="store_true", help="exit status 1 above the bar")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("slow_line", parsed(), measure)


if __name__ == "__main__":
    main()

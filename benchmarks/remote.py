"""Votes from click to an Oxen server: at several delays of the network and sizes of the dataset.

    python -m benchmarks.remote --delays-ms 0 20 100 --sizes 100 1000 10000
    python -m benchmarks.remote --backlog 10000

Needs oxen-server (`make oxen-server`). The whole program runs against a stand-in for Discord and,
through a proxy that delays every request, against a real server; members press as fast as they are
answered, every vote on another image. The clock stops when the server has the last vote. `alone`
is one more vote while nothing else happens. Then the tutorial's way sends votes through the same
proxy, one after the other, to a repository of the same size.

With --backlog, so many votes are cast while the server is away; then it comes back, and what is
timed is how long they take to reach it, and how long the bot's loop stood still meanwhile. Prints
JSON.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.support import tutorial_remote
from benchmarks.support.clicking import stalls, votes_on
from benchmarks.support.facts import run
from benchmarks.support.stock import KEEP_UNVOTED, REPOSITORY, SLOTS, PostedSet, posted_sets
from benchmarks.throughput import message_of, press_all
from bot.cli.status import Remote
from storage.store import VoteStore
from storage.vote import Rating
from tests.support.discord.payloads import Message
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import QUICK, WholeProgram
from tests.support.remote.faulty_proxy import FaultyProxy
from tests.support.remote.oxen_server import OxenServer

SETTLE_S = 900.0
TOGETHER = 64
SETTLED_S = 2.0
POLL_S = 0.02
LATE_VOTER = 5_000_000_000_000_000_000


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Each size at each delay, or the backlog."""
    if options.backlog:
        return {"backlog": await _backlog(folder, options)}

    return {"sizes": [await _at_size(folder / str(size), size, options) for size in options.sizes]}


async def _at_size(folder: Path, size: int, options: argparse.Namespace) -> dict[str, Any]:
    data = folder / "data"
    spare = await _stocked(data, options, votes=size, spare=options.votes * len(options.delays_ms))
    figures = []
    async with (
        OxenServer.running(folder / "server") as server,
        FaultyProxy.before(server.url) as proxy,
    ):
        await _push_all(data, proxy)
        await asyncio.to_thread(
            tutorial_remote.prepare,
            folder / "tutorial",
            server.url,
            votes=size,
            kilobytes=options.kilobytes,
        )
        for number, delay_ms in enumerate(options.delays_ms):
            sets = spare[number * options.votes // SLOTS : (number + 1) * options.votes // SLOTS]
            proxy.delay_s = delay_ms / 1000
            ours = await _ours(data, proxy, sets, options)
            theirs = await _theirs(folder / "tutorial", proxy, options)
            figures.append(
                {
                    "delay_ms": delay_ms,
                    "oxherd": ours,
                    "tutorial": theirs,
                    "times_as_many": round(ours["votes_per_s"] / theirs["votes_per_s"], 1),
                }
            )

    return {"votes_before": size, "delays": figures}


async def _stocked(
    data: Path, options: argparse.Namespace, *, votes: int, spare: int
) -> list[PostedSet]:
    """A dataset with so many votes; the sets of images that nobody has voted on."""
    randomness = random.Random(options.seed)
    async with VoteStore.open(data, repository=REPOSITORY, keep_unvoted=KEEP_UNVOTED) as store:
        sets = await posted_sets(
            store,
            count=-(-(votes + spare) // SLOTS),
            kilobytes=options.kilobytes,
            randomness=randomness,
        )
        images = [image.image_id for posted in sets for image in posted.images][:votes]
        for first in range(0, votes, TOGETHER):
            group = images[first : first + TOGETHER]
            await asyncio.gather(
                *(store.vote(image, 1 + first + n, Rating.GOOD) for n, image in enumerate(group))
            )
            await store.settle(SETTLE_S)

    return sets[-(-votes // SLOTS) :]


async def _push_all(data: Path, proxy: FaultyProxy) -> None:
    """What is there before the clock runs."""
    async with (
        DiscordStub.open() as stub,
        WholeProgram.running(stub, data, settings=_settings(proxy)) as program,
    ):
        await _on_the_server(program)


async def _ours(
    data: Path, proxy: FaultyProxy, sets: Sequence[PostedSet], options: argparse.Namespace
) -> dict[str, Any]:
    async with DiscordStub.open() as stub:
        messages = [stub.new_message(message_of(posted), {}) for posted in sets]
        async with WholeProgram.running(stub, data, settings=_settings(proxy)) as program:
            await _on_the_server(program)
            asked_before = len(proxy.requests)
            began = time.monotonic()
            presses = await press_all(stub, messages, votes=options.votes, members=options.members)
            await _on_the_server(program)
            seconds = time.monotonic() - began
            requests = len(proxy.requests) - asked_before
            alone = [
                await _alone(stub, message, program, proxy) for message in messages[: options.alone]
            ]

    return {
        "votes": len(presses),
        "votes_per_s": round(len(presses) / seconds, 1),
        "ms_per_vote": round(1000 * seconds / len(presses), 2),
        "requests_per_vote": round(requests / len(presses), 3),
        "alone_ms": round(1000 * median(seconds for seconds, _ in alone)),
        "alone_requests": median(requests for _, requests in alone),
    }


async def _alone(
    stub: DiscordStub, message: Message, program: WholeProgram, proxy: FaultyProxy
) -> tuple[float, int]:
    """One more vote, while nothing else happens: its seconds to the server, and the requests."""
    asked_before = len(proxy.requests)
    began = time.monotonic()
    vote, _ = votes_on(message)[0]
    press = await stub.press(LATE_VOTER, message, str(vote))
    await press.answered
    await _on_the_server(program)

    return time.monotonic() - began, len(proxy.requests) - asked_before


async def _theirs(folder: Path, proxy: FaultyProxy, options: argparse.Namespace) -> dict[str, Any]:
    asked_before = len(proxy.requests)
    votes, seconds = await asyncio.to_thread(
        tutorial_remote.measured,
        folder,
        proxy.url,
        votes=options.tutorial_votes,
        kilobytes=options.kilobytes,
        most_s=options.tutorial_seconds,
    )

    return {
        "votes": votes,
        "votes_per_s": round(votes / seconds, 2),
        "ms_per_vote": round(1000 * seconds / votes, 1),
        "requests_per_vote": round((len(proxy.requests) - asked_before) / votes, 1),
    }


async def _backlog(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    data, ticks = folder / "data", folder / "stalls"
    sets = await _stocked(data, options, votes=0, spare=options.backlog)
    async with (
        OxenServer.running(folder / "server") as server,
        FaultyProxy.before(server.url) as proxy,
        DiscordStub.open() as stub,
    ):
        proxy.delay_s = options.delays_ms[0] / 1000
        messages = [stub.new_message(message_of(posted), {}) for posted in sets]
        async with WholeProgram.running(
            stub, data, settings=_settings(proxy), stalls=ticks
        ) as program:
            await _on_the_server(program)
            await server.kill()
            presses = await press_all(
                stub, messages, votes=options.backlog, members=options.members
            )
            await program.settled(within_s=SETTLE_S)
            waiting = await _remote(program)
            await server.start()
            began, asked_before = time.monotonic(), len(proxy.requests)
            while len(proxy.requests) == asked_before:  # noqa: ASYNC110  # another process
                await asyncio.sleep(POLL_S)

            tried = time.monotonic()
            await _on_the_server(program)
            ended = time.monotonic()
            requests = len(proxy.requests) - asked_before
            await asyncio.sleep(SETTLED_S)  # what follows is stopping, and not counted

    return {
        "votes": len(presses),
        "commits": waiting.commits_waiting,
        "seconds_until_the_pusher_tried_again": round(tried - began, 1),
        "seconds_to_the_server": round(ended - tried, 1),
        "votes_per_s": round(len(presses) / (ended - tried), 1),
        "requests": requests,
        "loop_stall": stalls(ticks, began=began, ended=ended),
    }


def _settings(proxy: FaultyProxy) -> Mapping[str, str]:
    return {**QUICK, "OXHERD_REMOTE": f"{proxy.url}/ox/votes", "OXHERD_FLUSH_S": "120"}


async def _on_the_server(program: WholeProgram) -> None:
    """Wait until nothing waits anywhere."""
    await program.settled(within_s=SETTLE_S)
    async with asyncio.timeout(SETTLE_S):
        while True:
            remote = await _remote(program)
            if remote.commits_waiting == 0 and remote.pushed_id is not None:
                return

            await asyncio.sleep(POLL_S)


async def _remote(program: WholeProgram) -> Remote:
    status = await program.status()
    assert status is not None
    assert status.remote is not None

    return status.remote


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.remote")
    parser.add_argument("--delays-ms", type=float, nargs="+", default=[0, 20, 100])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--votes", type=int, default=400, help="timed, at each size and delay")
    parser.add_argument("--alone", type=int, default=5, help="votes that come one at a time")
    parser.add_argument("--kilobytes", type=int, default=20)
    parser.add_argument("--members", type=int, default=20, help="who press at the same time")
    parser.add_argument("--tutorial-votes", type=int, default=20)
    parser.add_argument("--tutorial-seconds", type=float, default=60)
    parser.add_argument("--backlog", type=int, default=0, help="measure only how this many drain")
    parser.add_argument("--seed", type=int, default=1)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("remote", parsed(), measure)


if __name__ == "__main__":
    main()

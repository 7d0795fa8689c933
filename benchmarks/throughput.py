"""Votes from click to commit, sustained: every vote on another image.

    python -m benchmarks.throughput --votes 6000 --kilobytes 20

The images are put into the journal beforehand; then the whole program runs against a stand-in for
Discord and members press as fast as they are answered. The clock stops when the last vote is in a
commit. Then the tutorial's way keeps the same number of votes, or as many as it can in the time
allowed, without any Discord. Prints JSON.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.support import tutorial
from benchmarks.support.clicking import FIRST_VOTER, votes_on
from benchmarks.support.facts import run, spread_ms
from benchmarks.support.stock import KEEP_UNVOTED, REPOSITORY, SLOTS, PostedSet, posted_sets
from bot.chat import views
from bot.chat.custom_ids import VoteId
from bot.cli import control
from storage.store import VoteStore
from tests.support.discord.channel import Interaction
from tests.support.discord.payloads import Message
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import WholeProgram
from tests.support.storage import kept_dataset

SETTLE_S = 600.0
MANY = 10**6
COMPONENTS_V2 = 1 << 15


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ours through the whole program, then the tutorial's."""
    data = folder / "data"
    sets = await _stocked(data, options)
    async with DiscordStub.open() as stub:
        messages = [stub.new_message(message_of(posted), {}) for posted in sets]
        async with WholeProgram.running(stub, data) as program:
            await program.settled(within_s=SETTLE_S)
            commits_before = len(await control.log(data, limit=MANY))
            began = time.monotonic()
            presses = await press_all(stub, messages, votes=options.votes, members=options.members)
            acknowledged_s = time.monotonic() - began
            waiting = (await control.status(data)).votes.waiting
            await program.settled(within_s=SETTLE_S)
            committed_s = time.monotonic() - began
            commits = len(await control.log(data, limit=MANY)) - commits_before
            exit_status = await program.stop()

    kept = kept_dataset.read(data / "dataset")
    wrong, _ = await kept_dataset.ask_oxen(data / "dataset")

    return {
        "oxherd": {
            "votes": len(presses),
            "votes_per_s": round(len(presses) / committed_s, 1),
            "seconds_to_the_last_commit": round(committed_s, 2),
            "seconds_to_the_last_acknowledgement": round(acknowledged_s, 2),
            "waiting_at_the_last_acknowledgement": waiting,
            "click_to_acknowledged_ms": spread_ms([press.seconds for press in presses]),
            "commits": commits,
            "rows": len(kept.ratings),
            "problems": [*wrong, *kept.problems][:10],
            "exit_status": exit_status,
        },
        "tutorial": await _tutorial(folder / "tutorial", options),
    }


async def _stocked(data: Path, options: argparse.Namespace) -> list[PostedSet]:
    randomness = random.Random(options.seed)
    async with VoteStore.open(data, repository=REPOSITORY, keep_unvoted=KEEP_UNVOTED) as store:
        sets = await posted_sets(
            store,
            count=-(-options.votes // SLOTS),
            kilobytes=options.kilobytes,
            randomness=randomness,
        )
        await store.settle(SETTLE_S)

    return sets


def message_of(posted: PostedSet) -> dict[str, Any]:
    """The message as the bot would have sent it, without its files."""
    view = views.result(views.AcceptedRequest.of(posted.asked), posted.images)

    components: list[dict[str, Any]] = view.to_components()  # type: ignore[no-untyped-call]  # its own

    return {"flags": COMPONENTS_V2, "components": components}


async def press_all(
    stub: DiscordStub, messages: Sequence[Message], *, votes: int, members: int
) -> list[Interaction]:
    """One press per image; each member presses again as soon as they are answered."""
    todo = _first_buttons(messages, votes)
    presses: list[Interaction] = []

    async def member(voter_id: int) -> None:
        for message, vote in todo:
            press = await stub.press(voter_id, message, str(vote))
            await press.answered
            presses.append(press)

    async with asyncio.TaskGroup() as pressing:
        for number in range(members):
            pressing.create_task(member(FIRST_VOTER + number))

    return presses


def _first_buttons(messages: Sequence[Message], most: int) -> Iterator[tuple[Message, VoteId]]:
    buttons = ((message, vote) for message in messages for vote, _ in votes_on(message)[::2])
    for _, button in zip(range(most), buttons, strict=False):
        yield button


async def _tutorial(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    points = await asyncio.to_thread(
        tutorial.measured,
        folder,
        votes=options.votes,
        kilobytes=options.kilobytes,
        most_s=options.tutorial_seconds,
        every=min(250, options.votes),
    )
    first, last = points[0], points[-1]
    before = points[-2] if len(points) > 1 else {"votes": 0, "seconds": 0.0}

    return {
        "votes": last["votes"],
        "votes_per_s": round(last["votes"] / last["seconds"], 1),
        "votes_per_s_at_first": round(first["votes"] / first["seconds"], 1),
        "votes_per_s_at_last": round(
            (last["votes"] - before["votes"]) / (last["seconds"] - before["seconds"]), 1
        ),
        "stopped": "all kept" if last["votes"] == options.votes else "the time was over",
    }


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.throughput")
    parser.add_argument("--votes", type=int, default=6000)
    parser.add_argument("--kilobytes", type=int, default=20)
    parser.add_argument("--members", type=int, default=50, help="who press at the same time")
    parser.add_argument("--tutorial-seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("throughput", parsed(), measure)


if __name__ == "__main__":
    main()

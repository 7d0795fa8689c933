"""From a click to its acknowledgement, while images are drawn and votes are committed.

    python -m benchmarks.acknowledge --clicks-per-s 100 --voters 250 --seconds 60

The whole program runs against a stand-in for Discord on the loopback; members click at random
moments whether or not earlier clicks were answered. Then the same clicks go to the naive bot, which
puts `asyncio.to_thread` around Oxen and acknowledges afterwards. Prints JSON.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.clicking import Click, click, plan, stalls
from benchmarks.support.facts import processor_s, run
from tests.support.discord.payloads import Message
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import QUICK, WholeProgram
from tests.support.storage import kept_dataset
from tests.support.storage.vote_ledger import Ledger

FIRST_ASKER = 4_000_000_000_000_000_000
SETTLE_S = 1.0


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Both bots, one after the other, on the same clicks."""
    async with DiscordStub.open() as stub:
        ours, clicks = await _oxherd(stub, folder, options)
        naive = await _naive(stub, folder, clicks)

    return {"oxherd": ours, "naive": naive}


async def _oxherd(
    stub: DiscordStub, folder: Path, options: argparse.Namespace
) -> tuple[dict[str, Any], list[Click]]:
    data, ticks = folder / "data", folder / "stalls"
    ledger = Ledger()
    settings = QUICK | {
        "OXHERD_SIZES": f"{options.pixels}x{options.pixels}",
        "OXHERD_DEFAULT_STEPS": str(options.steps),
        "OXHERD_PLACEHOLDER_STEP_SECONDS": str(options.step_seconds),
    }
    async with WholeProgram.running(stub, data, settings=settings, stalls=ticks) as program:
        messages = await _posted(stub, options.sets)
        clicks = plan(
            messages,
            per_s=options.clicks_per_s,
            seconds=options.seconds,
            voters=options.voters,
            seed=options.seed,
        )
        await asyncio.sleep(SETTLE_S)
        posted_before = len(stub.messages)
        asking = [asyncio.create_task(_ask_for_ever(stub, FIRST_ASKER + n)) for n in range(2)]
        bot = psutil.Process(program.process.pid)
        used_before_s = processor_s(bot)
        clicked = await click(stub, clicks, ledger)
        used_s = processor_s(bot) - used_before_s
        for task in asking:
            task.cancel()

        await asyncio.gather(*asking, return_exceptions=True)
        posted_after = len(stub.messages)
        at_the_end = await program.status()
        status = await program.stop()

    kept = kept_dataset.read(data / "dataset")
    wrong, commits = await kept_dataset.ask_oxen(data / "dataset")
    lost = ledger.compare(kept.ratings)

    return {
        **clicked.figures(),
        "processor_ms_a_click": round(1000 * used_s / len(clicks), 2),
        "loop_stall": stalls(ticks, began=clicked.began, ended=clicked.ended),
        "lost": len(lost),
        "problems": [*wrong, *kept.problems, *ledger.problems, *lost][:10],
        "votes_waiting_at_the_last_click": at_the_end and at_the_end.votes.model_dump(),
        "rows": len(kept.ratings),
        "commits": commits,
        "requests_drawn_meanwhile": posted_after - posted_before,
        "exit_status": status,
    }, clicks


async def _naive(stub: DiscordStub, folder: Path, clicks: Sequence[Click]) -> dict[str, Any]:
    data, ticks = folder / "naive", folder / "naive-stalls"
    os.environ["NAIVE_IMAGES"] = str(folder / "data" / "dataset" / "images")
    async with WholeProgram.running(
        stub, data, settings={}, module="benchmarks.support.naive_bot", stalls=ticks
    ):
        clicked = await click(stub, clicks, None)

    rows = (data / "dataset" / "train.csv").read_text(encoding="utf-8").splitlines()

    return {
        **clicked.figures(),
        "loop_stall": stalls(ticks, began=clicked.began, ended=clicked.ended),
        "rows_for_all_those_clicks": len(rows) - 1,
    }


async def _posted(stub: DiscordStub, sets: int) -> list[Message]:
    """So many posted sets of four images."""
    messages = []
    for number in range(sets):
        request = await stub.command(FIRST_ASKER + number, "imagine", prompt="a fox in the snow")
        async with asyncio.timeout(60):
            messages.append(await request.posted)

    return messages


async def _ask_for_ever(stub: DiscordStub, member: int) -> None:
    """Keeps the worker drawing: one request runs while another waits."""
    while True:
        request = await stub.command(member, "imagine", prompt="a fox in the snow")
        await request.posted


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.acknowledge")
    parser.add_argument("--clicks-per-s", type=float, default=100)
    parser.add_argument("--voters", type=int, default=250)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sets", type=int, default=25, help="posted messages to click on")
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--step-seconds", type=float, default=0.0, help="0 draws all the time")
    parser.add_argument("--seed", type=int, default=1)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("acknowledge", parsed(), measure)


if __name__ == "__main__":
    main()

"""Memory of the bot process while it posts messages.

    python -m benchmarks.memory --messages 10000

Members send /imagine to the whole program through a stand-in for Discord in this process; each
request ends as one posted message with four attachments and its buttons. The resident set of the
bot process alone is read from outside. Warm-up, during which caches, pools and the allocator's
arenas fill, is the first tenth of the messages. Prints JSON.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.facts import run
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import QUICK, WholeProgram

FIRST_ASKER = 4_000_000_000_000_000_000
MEGABYTE = 1e6


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Post them all; the resident set after each tenth of the warm-up's length."""
    settings = QUICK | {"OXHERD_SIZES": "64x64", "OXHERD_DEFAULT_STEPS": "1"}
    warm_up = max(1, options.messages // 10)
    async with (
        DiscordStub.open() as stub,
        WholeProgram.running(stub, folder / "data", settings=settings) as program,
    ):
        bot = psutil.Process(program.process.pid)
        sizes = [(0, bot.memory_info().rss)]
        for posted in range(warm_up, options.messages + 1, warm_up):
            await _post(stub, posted - len(stub.messages), askers=options.askers)
            sizes.append((posted, bot.memory_info().rss))

        exit_status = await program.stop()

    after_warm_up = sizes[1][1]

    return {
        "bot_process": {
            "messages": sizes[-1][0],
            "warm_up_messages": warm_up,
            "mb_at_start": round(sizes[0][1] / MEGABYTE, 1),
            "mb_after_warm_up": round(after_warm_up / MEGABYTE, 1),
            "mb_at_the_end": round(sizes[-1][1] / MEGABYTE, 1),
            "growth_mb": round((sizes[-1][1] - after_warm_up) / MEGABYTE, 2),
            "mb_by_messages": {str(n): round(rss / MEGABYTE, 2) for n, rss in sizes},
            "exit_status": exit_status,
        }
    }


async def _post(stub: DiscordStub, count: int, *, askers: int) -> None:
    """So many more messages, a few requests at a time."""
    numbers = iter(range(count))

    async def ask(member: int) -> None:
        for number in numbers:
            request = await stub.command(member, "imagine", prompt=f"a fox, number {number}")
            await request.posted

    async with asyncio.TaskGroup() as tasks:
        for n in range(askers):
            tasks.create_task(ask(FIRST_ASKER + n))


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.memory")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--askers", type=int, default=6, help="requests at the same time")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("memory", parsed(), measure)


if __name__ == "__main__":
    main()

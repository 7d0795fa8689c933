"""The processor time of the demo's first four images, from `oxherd demo` until the page has them.

    python -m benchmarks.demo --check

Somebody types /imagine in a real browser, whose own work does not count. Prints JSON.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.facts import run
from tests.support.discord.demo_page import Member, browser, running_demo
from tests.support.discord.whole_program import role

BAR_S = 10.0
PROMPT = "a strawberry"


async def measure(folder: Path, _options: argparse.Namespace) -> dict[str, Any]:
    """One start of the demo, and its first four images."""
    async with browser() as chromium:
        began = time.perf_counter()
        async with running_demo(folder / "demo") as demo:
            member = await Member.open(chromium, demo.url, "alice")
            await member.imagine(PROMPT)
            await member.sees_images(member.message(PROMPT))
            seconds = time.perf_counter() - began
            spent = _processor_s(psutil.Process(demo.process.pid))

    in_all = sum(spent.values())

    return {
        "processor_s": {name: round(each, 2) for name, each in {**spent, "in all": in_all}.items()},
        "bar_s": BAR_S,
        "seconds": round(seconds, 1),
        "missed": [f"{in_all:.2f} s"] if in_all > BAR_S else [],
    }


def _processor_s(bot: psutil.Process) -> dict[str, float]:
    """What each process of the demo has used so far; "ended" for those that have ended."""
    spent: defaultdict[str, float] = defaultdict(float)
    times = bot.cpu_times()
    spent["bot"] = times.user + times.system
    spent["ended"] = times.children_user + times.children_system
    for child in bot.children(recursive=True):
        times = child.cpu_times()
        spent[role(child)] += times.user + times.system

    return dict(spent)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.demo")
    parser.add_argument("--check", action="store_true", help="exit status 1 above the bar")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("demo", parsed(), measure)


if __name__ == "__main__":
    main()

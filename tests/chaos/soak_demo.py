"""An hour of the demo: two members in a real browser, asking and voting; the bot restarts.

    python -m tests.chaos.soak_demo --minutes 60

Prints JSON: what was done, what went wrong, and how the demo's memory grew.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import Error, expect

from tests.support.discord.demo_page import PATIENCE_MS, Demo, Member, browser, running_demo
from tests.support.discord.world import dataset_rows

RESTART_EVERY = 25
MEGABYTE = 10**6


async def soak(data: Path, *, minutes: float, pause_s: float, seed: int) -> dict[str, Any]:
    """Use the demo for so long; what came of it."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    problems: list[str] = []
    expected: dict[tuple[str, int, str], str] = {}
    memory: list[float] = []
    end = time.monotonic() + 60 * minutes
    async with running_demo(data) as demo, browser() as chromium:
        members = {name: await Member.open(chromium, demo.url, name) for name in ("alice", "bob")}
        while time.monotonic() < end:
            number = counts["requests"] + 1
            prompt = f"picture number {number:04d}"
            try:
                await _one_round(members, prompt, chance, expected, counts)
                if number % RESTART_EVERY == 0:
                    await demo.restart_bot()
                    counts["restarts"] += 1
            except (Error, AssertionError, TimeoutError) as exc:
                problems.append(f"{prompt}: {str(exc).splitlines()[0]}")

            counts["requests"] = number
            memory.append(_resident_mb(demo))
            await asyncio.sleep(pause_s)

    problems += _differences(data, expected)

    return {
        "minutes": minutes,
        **counts,
        "problems": problems,
        "demo_resident_mb": {"first": memory[0], "last": memory[-1], "most": max(memory)},
    }


async def _one_round(
    members: dict[str, Member],
    prompt: str,
    chance: random.Random,
    expected: dict[tuple[str, int, str], str],
    counts: Counter[str],
) -> None:
    asker = chance.choice(list(members))
    await members[asker].imagine(prompt)
    for name, member in members.items():
        await member.sees_images(member.images(prompt))
        slot, face = chance.randint(1, 4), chance.choice(["👍", "👎"])
        last = member.page.locator("article.channel-message").last
        before = await last.get_attribute("data-message-id") or ""
        await member.press(member.button(member.images(prompt), face, slot))
        await expect(last).not_to_have_attribute("data-message-id", before, timeout=PATIENCE_MS)
        await expect(last).to_contain_text(f"{face} recorded for image {slot}.")
        expected[prompt, slot, name] = "good" if face == "👍" else "bad"
        counts["votes"] += 1


def _resident_mb(demo: Demo) -> float:
    """The demo's own process; its worker and writer are others."""
    return round(psutil.Process(demo.process.pid).memory_info().rss / MEGABYTE, 1)


def _differences(data: Path, expected: dict[tuple[str, int, str], str]) -> list[str]:
    rows = dataset_rows(data, "train")
    found = Counter((row["prompt"], int(row["slot"]), row["rating"]) for row in rows)
    wanted = Counter((prompt, slot, rating) for (prompt, slot, _), rating in expected.items())

    return [
        *(f"{vote} is missing" for vote in wanted - found),
        *(f"{vote} was never cast" for vote in found - wanted),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pause", type=float, default=10, help="seconds between two requests")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(
            soak(Path(folder), minutes=given.minutes, pause_s=given.pause, seed=given.seed)
        )

    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    sys.exit(1 if report["problems"] else 0)


if __name__ == "__main__":
    main()

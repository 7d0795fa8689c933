"""How long the command line takes to answer, and what it imports for that.

    python -m benchmarks.startup --times 10

`oxherd --help`, and `oxherd status` while the whole program runs; and how long the program takes
until its gateway is up. Prints JSON.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.facts import run, spread_ms
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import ROOT, WholeProgram

HEAVY = ("torch", "diffusers", "transformers", "oxen", "discord")


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Each command several times."""
    data = folder / "data"
    async with DiscordStub.open() as stub:
        began = time.monotonic()
        async with WholeProgram.running(stub, data) as program:
            connected_s = time.monotonic() - began
            await program.settled(within_s=60)
            bot = psutil.Process(program.process.pid)
            mapped = {Path(library.path).name for library in bot.memory_maps()}
            figures = {
                name: await asyncio.to_thread(_command, words, data, options.times)
                for name, words in (("help", ["--help"]), ("status", ["status"]))
            }

    return {
        **figures,
        "run": {
            "seconds_until_connected": round(connected_s, 2),
            "bot_process_has_torch": any("torch" in name for name in mapped),
            "bot_process_has_oxen": any("oxen_py" in name for name in mapped),
        },
    }


def _command(words: Sequence[str], data: Path, times: int) -> dict[str, Any]:
    environment = os.environ | {"OXHERD_DATA": str(data), "PYTHONPATH": str(ROOT)}
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "bot", *words],
            env=environment,
            cwd=data.parent,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds.append(time.perf_counter() - began)

    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bot", *words],
        env=environment,
        cwd=data.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}

    return {
        "ms": spread_ms(seconds),
        "imports": [name for name in HEAVY if name in imported],
    }


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.startup")
    parser.add_argument("--times", type=int, default=10)

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("startup", parsed(), measure)


if __name__ == "__main__":
    main()

"""What exports and the report cost: time and memory of each command, in a process of its own.

    python -m benchmarks.export --check
    python -m benchmarks.export --votes 1000000 --images 250000 --what parquet diffusion-kto --check
    python -m benchmarks.export --votes 100000 --images 30000 --what report --check

Makes a dataset of plain files first. If chromium is there, it opens the report's pages. With
--check, exit status 1 if a command fails or takes more than a gigabyte, if the report takes more
than a minute, or one of its pages more than a second to load. `--hold` reads the tables into
memory, all at once, instead of exporting: the control that must fail at a million votes. Prints
JSON.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.support.facts import run
from benchmarks.support.plain_dataset import write_dataset
from storage.export.targets import TARGETS
from tests.support.discord.demo_page import CHROMIUM, browser
from tests.support.storage.page_time import loaded

MOST_BYTES = 2**30
MOST_REPORT_S = 60.0
MOST_PAGE_S = 1.0

PAGES = ("index", "images", "prompts", "history", "prompts/1")

_HOLD = """
import sys
from pathlib import Path
from storage.dataset.reader import dataset_rows
held = [list(dataset_rows(Path(sys.argv[1]) / table)) for table in ("train", "generations")]
"""


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make the dataset, then run each command."""
    dataset = folder / "dataset"
    began = time.perf_counter()
    write_dataset(dataset, votes=options.votes, images=options.images, side_px=options.side_px)
    made_s = time.perf_counter() - began
    if options.hold:
        commands = {"hold": [sys.executable, "-c", _HOLD, str(dataset)]}
    else:
        commands = {what: _command(what, folder / "out", dataset) for what in options.what}

    figures = {}
    for what, command in commands.items():
        figures[what] = _measured(command)
        out = folder / "out"
        if out.exists():
            if what == "report" and CHROMIUM:
                figures[what]["pages"] = await _pages(out)

            figures[what]["bytes"] = sum(
                path.stat().st_size for path in out.rglob("*") if path.is_file()
            )
            shutil.rmtree(out)

    return {"dataset_s": round(made_s, 1), "commands": figures, "missed": _missed(figures)}


def _command(what: str, out: Path, dataset: Path) -> list[str]:
    oxherd = [sys.executable, "-m", "bot"]
    verb = ["report"] if what == "report" else ["export", what]

    return [*oxherd, *verb, str(out), "--dataset", str(dataset)]


def _measured(command: Sequence[str]) -> dict[str, Any]:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)

    return {
        "wall_s": round(time.perf_counter() - began, 1),
        "processor_s": round(used.ru_utime + used.ru_stime, 1),
        "most_bytes": used.ru_maxrss * 1024,
        "status": process.returncode,
    }


async def _pages(report: Path) -> dict[str, dict[str, float]]:
    """How long the pages take to load, by their names."""
    async with browser() as chromium:
        page = await chromium.new_page()

        found = {name: await loaded(page, (report / f"{name}.html").as_uri()) for name in PAGES}

    return {
        name: {"wall_s": round(times.wall_s, 2), "processor_s": round(times.processor_s, 2)}
        for name, times in found.items()
    }


def _missed(figures: dict[str, dict[str, Any]]) -> list[str]:
    missed = []
    for what, found in figures.items():
        if found["status"]:
            missed.append(f"{what} failed")

        if found["most_bytes"] > MOST_BYTES:
            missed.append(f"{what} took {found['most_bytes'] / 2**20:.0f} MiB")

        if what == "report" and found["wall_s"] > MOST_REPORT_S:
            missed.append(f"the report took {found['wall_s']} s")

        for page, times in found.get("pages", {}).items():
            if times["wall_s"] > MOST_PAGE_S:
                missed.append(f"{page} took {times['wall_s']} s to load")

    return missed


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.export")
    parser.add_argument("--votes", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=2_500)
    parser.add_argument("--side-px", type=int, default=64, help="of each image")
    parser.add_argument("--what", nargs="+", default=[*TARGETS], choices=[*TARGETS, "report"])
    parser.add_argument("--hold", action="store_true", help="the control")
    parser.add_argument("--check", action="store_true", help="exit status 1 above a bar")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("export", parsed(), measure)


if __name__ == "__main__":
    main()

"""What every benchmark prints beside its figures, and how figures are summed up."""

import argparse
import asyncio
import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("discord.py", "oxenai", "aiohttp", "pillow")


def machine() -> dict[str, Any]:
    """The machine and the versions, now."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        # Others at work on the machine; a figure taken under pressure is a bad one.
        "load": os.getloadavg()[0],
        "processor_pressure_percent": _pressure_percent("cpu"),
        "disk_pressure_percent": _pressure_percent("io"),
        "system": platform.platform(),
        "file_system": _file_system(Path(tempfile.gettempdir())),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def run(
    benchmark: str,
    options: argparse.Namespace,
    measure: Callable[[Path, argparse.Namespace], Coroutine[Any, Any, Mapping[str, Any]]],
) -> None:
    """Measure in a folder that goes away; one JSON object on standard output.

    With the option --check, exit status 1 if the figure `missed` names any bar.
    """
    before = machine()
    with tempfile.TemporaryDirectory(prefix=f"oxherd-{benchmark}-") as folder:
        figures = asyncio.run(measure(Path(folder), options))

    result = {"benchmark": benchmark, "options": vars(options), "machine": before, **figures}
    sys.stdout.write(json.dumps(result, indent=2, default=str) + "\n")
    if getattr(options, "check", False) and figures["missed"]:
        sys.exit(f"missed: {'; '.join(figures['missed'])}")


def spread_ms(seconds: Sequence[float]) -> dict[str, float | int]:
    """Median, 99th percentile (nearest rank) and worst, in milliseconds."""
    if not seconds:
        return {"count": 0}

    ordered = sorted(seconds)

    return {
        "count": len(ordered),
        "p50": _ms(ordered[math.ceil(0.5 * len(ordered)) - 1]),
        "p99": _ms(ordered[math.ceil(0.99 * len(ordered)) - 1]),
        "max": _ms(ordered[-1]),
    }


def processor_s(process: psutil.Process) -> float:
    """What the process itself has used; of the program, its worker and its writer are others."""
    used = process.cpu_times()

    return used.user + used.system


def disk_bytes(folder: Path) -> int:
    """What the disk holds for a folder: allocated blocks, not the files' nominal sizes, without
    those that an open database has reserved after the end of a file."""
    return sum(_held(entry.lstat()) for entry in folder.rglob("*") if not entry.is_symlink())


def _held(entry: os.stat_result) -> int:
    return min(entry.st_blocks * 512, -(-entry.st_size // entry.st_blksize) * entry.st_blksize)


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


def _pressure_percent(resource: str) -> float | None:
    """How much of the last ten seconds somebody waited for it; None where Linux does not tell."""
    try:
        text = Path(f"/proc/pressure/{resource}").read_text(encoding="ascii")
    except OSError:
        return None

    return float(text.partition("avg10=")[2].partition(" ")[0])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()

    return platform.processor()


def _file_system(folder: Path) -> str:
    mounts = [p for p in psutil.disk_partitions(all=True) if folder.is_relative_to(p.mountpoint)]

    return max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else "unknown"

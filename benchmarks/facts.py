"""What a figure is worth without: the machine, the versions, the day. And how to sum figures up."""

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
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
        "load_before": os.getloadavg()[0],
        "system": platform.platform(),
        "file_system": _file_system(Path("/tmp")),  # where the runs keep their folders
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def print_result(benchmark: str, options: argparse.Namespace, **figures: Any) -> None:
    """One JSON object on standard output."""
    result = {
        "benchmark": benchmark,
        "options": {name: _plain(value) for name, value in vars(options).items()},
        "machine": machine(),
        **figures,
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


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


def disk_bytes(folder: Path) -> int:
    """What the disk holds for a folder: allocated blocks, not the files' nominal sizes."""
    return sum(
        entry.lstat().st_blocks * 512 for entry in folder.rglob("*") if not entry.is_symlink()
    )


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()

    return platform.processor()


def _file_system(folder: Path) -> str:
    mounts = [p for p in psutil.disk_partitions(all=True) if folder.is_relative_to(p.mountpoint)]

    return max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else "unknown"

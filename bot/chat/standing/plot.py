"""Draws the votes of some days, in a process of its own: `python -m bot.chat.standing.plot`.

Importing matplotlib holds Python's interpreter lock for a second, so the bot never does. JSON comes
on standard input, and a PNG goes to standard output.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO

log = logging.getLogger(__name__)

_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """What is drawn: two numbers for each label, one on top of the other."""

    title: str
    labels: Sequence[str]
    good: Sequence[int]
    bad: Sequence[int]
    good_label: str
    bad_label: str


async def plot(bars: Bars) -> bytes | None:
    """A PNG; None if it could not be drawn in a minute."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            png, errors = await process.communicate(json.dumps(asdict(bars)).encode())
    except TimeoutError:
        log.warning("the plot took longer than %g s", _WITHIN_S)
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    if process.returncode:
        log.warning("the plot could not be drawn: %s", errors.decode(errors="replace")[-2_000:])
        return None

    return png


def _drawn(bars: Bars) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 3.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    days = range(len(bars.labels))
    axes.bar(days, bars.good, color="#3a8f5c", label=bars.good_label)
    axes.bar(days, bars.bad, bottom=bars.good, color="#c2554d", label=bars.bad_label)
    axes.set_xticks(days[::5], bars.labels[::5])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(bars.title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside right upper")
    file = BytesIO()
    figure.savefig(file, format="png")

    return file.getvalue()


if __name__ == "__main__":
    sys.stdout.buffer.write(_drawn(Bars(**json.load(sys.stdin))))

"""Starts the whole program, unmodified, against the stand-in for Discord.

    STUB_URL=http://127.0.0.1:1234/api/v10 python -m tests.support.discord.launch run

Two things differ from `oxherd run`: Discord's address, and, where STALLS names a file, a ticker on
the event loop that writes down each time it was kept waiting. Where UNSYNCED is set, commits are
left as Oxen leaves them, for a power cut to break. All processes of the program import this module,
so it does nothing else until it is the main one.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path

TICK_S = 0.005
WORTH_WRITING_S = 0.010


class Ticker:
    """Writes a line for each stall of the loop: when it ended (monotonic), how long it was.

    The third number is how much of it the thread was ready to run and had no processor.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        self._loop = loop
        self._file = path.open("a", buffering=1, encoding="ascii")
        self._schedstat = _opened(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._again()

    def _tick(self) -> None:
        now = self._loop.time()
        if (late := now - self._due) > WORTH_WRITING_S:
            waited = self._waited_for_cpu() - self._waited
            self._file.write(f"{now:.6f} {late:.6f} {waited:.6f}\n")

        self._again()

    def _again(self) -> None:
        self._waited = self._waited_for_cpu()
        self._due = self._loop.time() + TICK_S
        self._loop.call_at(self._due, self._tick)

    def _waited_for_cpu(self) -> float:
        if self._schedstat is None:
            return 0.0

        return int(os.pread(self._schedstat, 100, 0).split()[1]) / 1e9


def _opened(path: str) -> int | None:
    """A descriptor; None where the kernel does not keep this file."""
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None


def watch_loops(path: Path) -> None:
    """Give every event loop made from now on a ticker."""
    new_loop = asyncio.events.new_event_loop

    def watched() -> asyncio.AbstractEventLoop:
        loop = new_loop()
        Ticker(loop, path)
        return loop

    asyncio.events.new_event_loop = watched


def leave_unsynced() -> None:
    """Take away from this process what makes commits survive a power cut."""
    from storage.dataset.last_commit import LastCommit

    LastCommit.sync = lambda self, commit_id: None  # type: ignore[method-assign]
    LastCommit.take_back = lambda self, repo: None  # type: ignore[method-assign]


def main() -> None:
    """Run the program's own command line."""
    from discord.http import Route

    Route.BASE = os.environ["STUB_URL"]
    if stalls := os.environ.get("STALLS"):
        watch_loops(Path(stalls))

    from bot.__main__ import main as oxherd

    sys.argv[0] = "oxherd"
    oxherd()


if os.environ.get("UNSYNCED"):
    leave_unsynced()

if __name__ == "__main__":
    main()

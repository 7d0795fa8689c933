"""What holds for every test: no settings from outside, and a loop that is never blocked."""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

LONGEST_STALL_S = 0.050
TICK_S = 0.005


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own OXHERD_… variables do not reach the tests."""
    for name in list(os.environ):
        if name.startswith("OXHERD_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def unblocked_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails an async test whose event loop stood still for more than 50 ms."""
    if request.node.get_closest_marker("asyncio") is None:
        yield
        return

    watch: LoopWatch = request.getfixturevalue("loop_watch")
    yield
    marker = request.node.get_closest_marker("stalls")
    if marker is None:
        assert watch.longest_s <= LONGEST_STALL_S, (
            f"the event loop stood still for {1000 * watch.longest_s:.0f} ms"
        )


@pytest_asyncio.fixture
async def loop_watch() -> AsyncIterator["LoopWatch"]:
    """Watches the test's loop from the first fixture to the last."""
    # The suite's heap holds torch; collecting that takes longer than the bot's would.
    gc.freeze()
    watch = LoopWatch()
    watch.start()
    yield watch
    watch.stop()


class LoopWatch:
    """The longest time for which the loop ran nothing, although the processor was free for it.

    Time that its threads spent runnable but not run (Linux's schedstat) is not the program's
    fault, and left out: other processes share the test machine. All threads count, because the
    loop may wait for the interpreter's lock while a thread that has it is not run.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._loop = asyncio.get_running_loop()
        self._again()

    def stop(self) -> None:
        """Stop ticking; `longest_s` stays."""
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        self._began_s = time.perf_counter()
        self._waited_ns = self._run_queue_ns()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        gone_s = time.perf_counter() - self._began_s - TICK_S
        waited_ns = self._run_queue_ns()
        not_run_s = (
            sum(max(0, ns - self._waited_ns.get(thread, 0)) for thread, ns in waited_ns.items())
            / 1e9
        )
        self.longest_s = max(self.longest_s, gone_s - not_run_s)
        self._again()

    def _run_queue_ns(self) -> dict[str, int]:
        """Thread -> how long it was ready without being run."""
        waited = {}
        for thread in Path("/proc/self/task").glob("*/schedstat"):
            with suppress(OSError):  # the thread has ended
                waited[thread.parent.name] = int(thread.read_text().split()[1])

        return waited


def pytest_sessionfinish() -> None:
    """What `loop_watch` set aside may go; libraries complain of leaks otherwise."""
    gc.unfreeze()

"""What holds for every test: no settings from outside, and a loop that is never blocked."""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

LONGEST_STALL_S = 0.050
TICK_S = 0.005
PRESSURE = Path("/proc/pressure/cpu")


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
    """The longest time for which the loop ran nothing, although nobody waited for a processor.

    While something on the machine waits for one (Linux's pressure stall information counts that
    time), a late loop is not the program's fault: the test machine is shared.
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
        self._pressed_s = _processor_pressure_s()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        late_s = time.perf_counter() - self._began_s - TICK_S
        if late_s > self.longest_s:
            pressed_s = _processor_pressure_s() - self._pressed_s
            self.longest_s = max(self.longest_s, late_s - pressed_s)

        self._again()


def _processor_pressure_s() -> float:
    """For how long, since the machine started, something waited for a processor."""
    try:
        some = PRESSURE.read_text().split("\n")[0]
    except OSError:  # an older kernel does not tell
        return 0.0

    return int(some.rpartition("total=")[2]) / 1e6


def pytest_sessionfinish() -> None:
    """What `loop_watch` set aside may go; libraries complain of leaks otherwise."""
    gc.unfreeze()

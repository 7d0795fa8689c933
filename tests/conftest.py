"""What holds for every test: no settings from outside, and a loop that is never blocked."""

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from logging.handlers import QueueHandler
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.storage.collected import Collected, collecting

# Before torch is imported. Tiny models gain nothing from a second thread, and beside other load the
# threads of torch wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Compiled code that others can write is refused; some systems let the group write by default.
os.umask(os.umask(0o022) | 0o022)

LONGEST_STALL_S = 0.050
TICK_S = 0.005


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own OXHERD_… variables do not reach the tests."""
    for name in list(os.environ):
        if name.startswith("OXHERD_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_log_left_behind() -> Iterator[None]:
    """A command that a test runs in this process does not log into the stream of a later test."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in set(root.handlers) - set(before):
        if isinstance(handler, QueueHandler):
            root.removeHandler(handler)


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


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collected]:
    """A dataset with votes, for tests that only read it. The bot's side still has it open."""
    with collecting(tmp_path_factory.mktemp("collected")) as made:
        yield made


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
    """The longest time for which the loop ran nothing, although it could have had a processor.

    The test machine is shared, so two things are taken off: the time for which a thread of ours was
    ready and had no processor (any of them may hold the interpreter's lock then), and the time that
    the hypervisor gave to another machine. Linux's pressure stall information will not do for the
    first: it is a mean over the processors, about half of what our thread waited for on two.
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
        self._waits_s = _waits_s()
        self._stolen_s = _stolen_s()
        self._began_s = time.perf_counter()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        late_s = time.perf_counter() - self._began_s - TICK_S
        if late_s > self.longest_s:
            waited_s = sum(
                total_s - self._waits_s.get(thread, 0.0) for thread, total_s in _waits_s().items()
            )
            stolen_s = _stolen_s() - self._stolen_s
            self.longest_s = max(self.longest_s, late_s - waited_s - stolen_s)

        self._again()


def _waits_s() -> dict[int | None, float]:
    """For how long, so far, each of our threads was ready to run and had no processor."""
    found: dict[int | None, float] = {}
    for thread in threading.enumerate():
        with suppress(OSError):  # it has just ended, or the system does not tell
            text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
            found[thread.native_id] = int(text.split()[1]) / 1e9

    return found


def _stolen_s() -> float:
    """For how long, so far, the hypervisor ran something else on our processors."""
    try:
        with Path("/proc/stat").open() as file:
            return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except OSError:  # not Linux
        return 0.0


def pytest_sessionfinish() -> None:
    """What `loop_watch` set aside may go; libraries complain of leaks otherwise."""
    gc.unfreeze()

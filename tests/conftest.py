"""What holds for every test: no settings from outside, and a loop that is never blocked."""

import asyncio
import atexit
import gc
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import cache
from logging.handlers import QueueHandler

import pytest
import pytest_asyncio

from tests.support.storage.collected import Collected, collecting

# Before torch is imported. Tiny models gain nothing from a second thread, and beside other load the
# threads of torch wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Imports leave many objects that stay, and looking through them for garbage again and again takes a
# fifth of the time that collecting takes. It is on again before the first test.
gc.disable()

# Compiled code that others can write is refused; some systems let the group write by default.
os.umask(os.umask(0o022) | 0o022)

LONGEST_STALL_S = 0.050
TICK_S = 0.005

# Open all the time: they are read at each tick, and opening a file costs fifty times what reading
# it does. A tenth of the suite's time went there.
_schedstats: dict[int | None, int] = {}


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
    threads = {thread.native_id for thread in threading.enumerate()}
    for ended in _schedstats.keys() - threads:
        os.close(_schedstats.pop(ended))

    for thread in threads:
        with suppress(OSError):  # it has just ended, or the system does not tell
            if thread not in _schedstats:
                _schedstats[thread] = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY)

            found[thread] = int(os.pread(_schedstats[thread], 100, 0).split()[1]) / 1e9

    return found


def _stolen_s() -> float:
    """For how long, so far, the hypervisor ran something else on our processors."""
    file = _processors()
    if file is None:
        return 0.0

    return int(os.pread(file, 200, 0).split()[8]) / os.sysconf("SC_CLK_TCK")


@cache
def _processors() -> int | None:
    try:
        return os.open("/proc/stat", os.O_RDONLY)
    except OSError:  # not Linux
        return None


# Begun first: a process that is left alone with a long file at the end makes the suite longer.
LONG_FILES = (
    "test_demo_in_browser.py",
    "test_run.py",
    "test_replay.py",
    "test_diffusers_worker.py",
    "test_votes_life.py",
    "test_takeover.py",
    "test_report.py",
    "test_discord_schema.py",
    "test_model_memory.py",
    "test_restoring.py",
    "test_refound.py",
    "test_warm_start.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first; all others stay in their order."""
    last = len(LONG_FILES)
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path.name, last))


def pytest_collection_finish() -> None:
    """What the tests' modules imported is never garbage."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Ends a process of pytest-xdist at once, when all that it had to say was said.

    Python looks through everything for garbage as it ends, several times, and takes it apart. With
    torch on the heap that is six seconds a process, a fortieth of the suite.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        atexit.register(os._exit, 0)
    else:
        gc.unfreeze()  # Libraries complain of leaks otherwise.

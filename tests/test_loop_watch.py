"""The detector of a blocked event loop detects one, and nothing else."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import LONGEST_STALL_S, LoopWatch

TOO_LONG_S = 0.060


def _sleep(seconds: float = TOO_LONG_S) -> None:
    time.sleep(seconds)


def _compute(seconds: float = TOO_LONG_S) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.stalls("that is what it is about")
@pytest.mark.parametrize("block", [_sleep, _compute])
async def test_a_blocking_call_is_noticed(loop_watch: LoopWatch, block: Callable[[], None]) -> None:
    for _ in range(10):  # a busy machine may hide one
        block()
        await asyncio.sleep(0.02)

    assert loop_watch.longest_s > LONGEST_STALL_S


async def test_waiting_is_not_blocking(loop_watch: LoopWatch) -> None:
    await asyncio.sleep(0.2)

    assert loop_watch.longest_s <= LONGEST_STALL_S


@pytest.mark.stalls("starts processes; watches by itself")
async def test_having_no_processor_is_not_blocking() -> None:
    watch = LoopWatch()
    with _one_processor_with_three_others():
        watch.start()
        began_s = time.perf_counter()
        for _ in range(5):
            _compute(0.025)
            await asyncio.sleep(0.02)

        took_s = time.perf_counter() - began_s
        watch.stop()

    assert took_s > 5 * LONGEST_STALL_S
    assert watch.longest_s <= LONGEST_STALL_S


@contextmanager
def _one_processor_with_three_others() -> Iterator[None]:
    """This thread shares one processor with three processes that never rest."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    busy = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    others = [subprocess.Popen(busy, stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.read(1)  # it has begun

        yield
    finally:
        os.sched_setaffinity(0, before)
        for other in others:
            other.kill()
            other.communicate()

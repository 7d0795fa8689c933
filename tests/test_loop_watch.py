"""The detector of a blocked event loop detects one."""

import asyncio
import time

import pytest

from tests.conftest import LONGEST_STALL_S, LoopWatch


@pytest.mark.stalls("that is what it is about")
async def test_a_blocking_call_is_noticed(loop_watch: LoopWatch) -> None:
    time.sleep(0.5)  # noqa: ASYNC251 - the very mistake
    await asyncio.sleep(0.05)

    assert loop_watch.longest_s > LONGEST_STALL_S


async def test_waiting_is_not_blocking(loop_watch: LoopWatch) -> None:
    await asyncio.sleep(0.2)

    assert loop_watch.longest_s <= LONGEST_STALL_S

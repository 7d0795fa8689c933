"""Many at once share a transaction, and nobody pays for somebody else's mistake."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from storage.errors import JournalFull, StoreClosing
from storage.journal.queries import Journal
from storage.journal.thread import JournalThread
from storage.vote import SetState
from tests.support.storage.data import NOON, a_set


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[JournalThread]:
    async with JournalThread.open(tmp_path / "journal") as thread:
        yield thread


def adding(*set_ids: str) -> Callable[[Journal], None]:
    """An operation that adds requests."""

    def add(journal: Journal) -> None:
        for set_id in set_ids:
            journal.add_request(a_set(set_id), now=NOON)

    return add


async def knows(thread: JournalThread, set_id: str) -> bool:
    return await thread.run(lambda journal: journal.find_set(set_id)) is not None


async def test_what_waits_is_done_in_order(thread: JournalThread) -> None:
    await asyncio.gather(
        thread.run(adding("set-0")),
        thread.run(lambda journal: journal.set_state("set-0", SetState.CANCELLED)),
        thread.run(lambda journal: journal.set_state("set-0", SetState.FAILED)),
    )

    stored = await thread.run(lambda journal: journal.find_set("set-0"))
    assert stored is not None
    assert stored.state is SetState.FAILED


async def test_many_answers_at_once_leave_the_loop_to_others(thread: JournalThread) -> None:
    """The suite's watch fails this if the loop stands still for 50 ms."""
    asked = threading.Event()

    async def press() -> None:
        await thread.run(Journal.is_empty)
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:  # what an answer to a member costs
            pass

    first = asyncio.create_task(thread.run(lambda journal: asked.wait()))
    presses = [asyncio.create_task(press()) for _ in range(200)]
    await asyncio.sleep(0)  # all of them wait now, for one transaction
    asked.set()

    await asyncio.gather(first, *presses)


async def test_a_failing_operation_does_not_fail_its_neighbours(thread: JournalThread) -> None:
    results = await asyncio.gather(
        thread.run(adding("before")),
        thread.run(adding("half", "before")),
        thread.run(adding("after")),
        return_exceptions=True,
    )

    assert [type(result) for result in results] == [
        type(None),
        sqlite3.IntegrityError,
        type(None),
    ]
    known = [await knows(thread, set_id) for set_id in ("before", "half", "after")]
    assert known == [True, False, True]


async def test_operations_that_wait_share_one_transaction(
    thread: JournalThread, tmp_path: Path
) -> None:
    gate = threading.Event()
    first = asyncio.ensure_future(thread.run(lambda _: gate.wait(5)))
    others = [asyncio.ensure_future(thread.run(adding(f"set-{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)

    # SQLite's write-ahead log gets each changed page once a transaction.
    wal_pages = (tmp_path / "journal-wal").stat().st_size / 4096
    assert wal_pages < 100


async def test_a_full_disk_is_said_and_recording_goes_on_when_there_is_space(
    thread: JournalThread,
) -> None:
    await thread.run(adding("set-0"))

    def limit_pages(journal: Journal, *, more: int) -> None:
        # The database's own limit makes SQLite say what it says on a full disk.
        (pages,) = journal.connection.execute("PRAGMA page_count").fetchone()
        journal.connection.execute(f"PRAGMA max_page_count = {pages + more}")

    await thread.run(lambda journal: limit_pages(journal, more=0))
    attempts = await asyncio.gather(
        *(thread.run(adding(f"more-{number}")) for number in range(80)), return_exceptions=True
    )
    assert JournalFull in {type(answer) for answer in attempts}
    for number, answer in enumerate(attempts):
        assert answer is None or isinstance(answer, JournalFull)
        assert await knows(thread, f"more-{number}") == (answer is None)

    await thread.run(lambda journal: limit_pages(journal, more=1000))
    await thread.run(adding("afterwards"))
    assert await knows(thread, "afterwards")


async def test_a_caller_that_is_cancelled_does_not_take_it_back(thread: JournalThread) -> None:
    gate = threading.Event()
    blocker = asyncio.ensure_future(thread.run(lambda _: gate.wait(5)))
    caller = asyncio.ensure_future(thread.run(adding("set-0")))
    await asyncio.sleep(0)
    caller.cancel()
    gate.set()
    await blocker

    assert await knows(thread, "set-0")


async def test_what_was_asked_before_the_end_is_done_and_after_it_refused(tmp_path: Path) -> None:
    async with JournalThread.open(tmp_path / "journal") as thread:
        last = asyncio.ensure_future(thread.run(adding("set-0")))
        await asyncio.sleep(0)

    await last
    with pytest.raises(StoreClosing):
        await thread.run(adding("set-1"))

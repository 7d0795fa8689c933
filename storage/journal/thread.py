"""The journal's own thread: all operations that wait share the next transaction.

One fsync serves all votes that arrived during the last one, so recording keeps up with any number
of people. An operation that fails does not affect the others in its transaction.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from storage.errors import StoreClosing
from storage.journal.file import JournalFile
from storage.journal.queries import Journal

T = TypeVar("T")

# Limits how long one transaction takes, and so how long a vote waits for the next.
_OPERATIONS_A_TRANSACTION = 256

# A member's answer takes the loop about a millisecond; it should not stand still for 50.
_ANSWERS_A_ROUND = 8


class JournalThread:
    """Opens the journal and runs operations on it, for one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._undelivered: deque[_Answer] = deque()
        self._closing = False

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Own the journal until the block ends; then finish the operations that wait.

        Raises what `JournalFile.open` raises.
        """
        self = cls(path)
        thread = threading.Thread(target=self._live, name="oxherd-journal")
        thread.start()
        try:
            await asyncio.shield(self._opened)
            yield self
        finally:
            self._closing = True
            self._waiting.put(None)
            await self._ended
            thread.join()

    async def run(self, operation: Callable[[Journal], T]) -> T:
        """The operation's result, durable on return.

        Raises what the operation raised, JournalFull or JournalError when the transaction it
        shared did not commit, StoreClosing at the end. Cancelling the caller does not take the
        operation back.
        """
        if self._closing:
            raise StoreClosing.now()

        done: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put((operation, done))

        return await done

    def _live(self) -> None:
        try:
            with JournalFile.open(self._path) as file:
                self._answer([(self._opened, None)])
                while tickets := self._next_tickets():
                    answers = _transact(file, tickets)
                    file.scrub_if_unclean()
                    self._answer(answers)
        except Exception as exc:  # noqa: BLE001 - raised in `open`
            self._answer([(self._opened, _Failure(exc))])
        finally:
            self._answer([(self._ended, None)])

    def _next_tickets(self) -> list["_Ticket"]:
        """All operations that wait, at least one; none when the journal closes."""
        tickets = []
        ticket = self._waiting.get()
        while ticket is not None:
            tickets.append(ticket)
            if len(tickets) == _OPERATIONS_A_TRANSACTION or self._waiting.empty():
                return tickets

            ticket = self._waiting.get()

        if tickets:
            self._waiting.put(None)  # these first; then close

        return tickets

    def _answer(self, answers: list["_Answer"]) -> None:
        self._loop.call_soon_threadsafe(self._deliver, answers)

    def _deliver(self, answers: list["_Answer"]) -> None:
        is_delivering = bool(self._undelivered)
        self._undelivered.extend(answers)
        if not is_delivering:
            self._deliver_some()

    def _deliver_some(self) -> None:
        """Some answers, the oldest first, and the others in the loop's next round.

        Who waits goes on at once, so many answers in one round would keep the loop from all else.
        """
        for _ in range(min(_ANSWERS_A_ROUND, len(self._undelivered))):
            done, answer = self._undelivered.popleft()
            if done.done():
                continue  # its caller was cancelled

            if isinstance(answer, _Failure):
                done.set_exception(answer.error)
            else:
                done.set_result(answer)

        if self._undelivered:
            self._loop.call_soon(self._deliver_some)


_Ticket = tuple[Callable[[Journal], Any], "asyncio.Future[Any]"]
_Answer = tuple["asyncio.Future[Any]", Any]


class _Failure:
    """An answer that is an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _transact(file: JournalFile, tickets: list[_Ticket]) -> list[_Answer]:
    """The answer to each operation, after the transaction is durable."""
    try:
        with file.transaction():
            return [(done, _attempt(file, operation)) for operation, done in tickets]
    except Exception as exc:  # noqa: BLE001 - every future gets it
        return [(done, _Failure(exc)) for _, done in tickets]


def _attempt(file: JournalFile, operation: Callable[[Journal], Any]) -> Any:
    try:
        with file.savepoint():
            return operation(Journal(file.connection))
    except Exception as exc:
        if not file.in_transaction:
            raise  # SQLite rolled the whole transaction back: nothing in it is kept

        return _Failure(exc)

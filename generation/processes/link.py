"""What the queue knows of a worker, wherever it runs: it is started, talked to and killed."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeAlias, TypeVar

from generation.worker.messages import FromWorker, ToWorker

Sent = TypeVar("Sent")
Received = TypeVar("Received")


class Link(ABC, Generic[Sent, Received]):
    """One process that makes something for us, from its start to its end. It is never restarted.

    Its methods are called on the event loop. A subclass says how it is started, told and killed,
    puts what arrives into `_messages`, and calls `_ended` once.
    """

    def __init__(self) -> None:
        self.pid: int | None = None
        self.host: str | None = None
        """The label of the host that it runs on; None for this host."""
        self.ending = ""
        """Why it ended, as a phrase; empty while it is alive."""
        self._loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[Received | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._kill_reason = ""
        self._timeout: asyncio.TimerHandle | None = None

    @abstractmethod
    def running(self) -> AbstractAsyncContextManager[None]:
        """Start it. On leaving, kill it unless it has ended, and wait until it is gone."""

    @abstractmethod
    def send(self, message: Sent) -> None:
        """Send it a message. Never blocks, and has no effect if it is dead."""

    @abstractmethod
    def _kill(self) -> None:
        """Kill it now."""

    @property
    def waits_for(self) -> str:
        """What must happen before it can run, as a phrase; empty for nothing."""
        return ""

    async def messages(self) -> AsyncIterator[Received]:
        """What it sends, until it is gone."""
        while (message := await self._messages.get()) is not None:
            yield message

    def expect_message(self, *, within_s: float | None) -> None:
        """Kill it if it sends nothing for that long; None lifts the limit."""
        if self._timeout is not None:
            self._timeout.cancel()

        self._timeout = None
        if within_s is not None:
            reason = f"it sent nothing for {within_s:g} s"
            self._timeout = self._loop.call_later(within_s, lambda: self.kill(reason=reason))

    def kill(self, *, reason: str) -> None:
        """Kill it now. `ending` will be the first reason given."""
        self.expect_message(within_s=None)
        self._kill_reason = self._kill_reason or reason
        self._kill()

    def _ended(self, ending: str) -> None:
        self.expect_message(within_s=None)
        self.ending = self._kill_reason or ending
        self._messages.put_nowait(None)
        self._gone.set()


WorkerLink: TypeAlias = Link[ToWorker, FromWorker]
StartWorker: TypeAlias = Callable[[], WorkerLink]

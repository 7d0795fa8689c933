"""The asyncio side's hold on one worker process."""

import asyncio
import logging
import multiprocessing
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Self, TypeAlias

from generation.backend import BackendSpec
from generation.messages import FromWorker, ToWorker
from generation.worker import serve

log = logging.getLogger(__name__)

Pipe: TypeAlias = "Connection[ToWorker, FromWorker]"  # generic for type checkers only

_LOOK_S = 1.0
"""How often to ask whether a process that says nothing still lives. Its pipe's end tells sooner,
unless it left a child behind that holds the pipe open."""


class WorkerProcess:
    """One worker process, from its start to its end, and the thread that owns it.

    The thread starts the process, reads its pipe and reaps it, so that the event loop waits for
    none of these. It lives exactly as long as the process, and must: Linux kills the process
    when the thread that started it ends.
    """

    def __init__(self, spec: BackendSpec, *, device: str) -> None:
        self.device = device
        self.pid: int | None = None
        self.ending = ""
        """Why the process ended, as a phrase; empty while it lives."""
        self._spec = spec
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[FromWorker | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._process: SpawnProcess | None = None
        self._pipe: Pipe | None = None
        self._kill_reason = ""
        self._alarm: asyncio.TimerHandle | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, spec: BackendSpec, *, device: str) -> AsyncIterator[Self]:
        """Start a process; on leaving, kill it unless it has ended, and wait until it is gone.

        SIGKILL is the ordinary end: the process holds nothing that outlives it, and no library
        has to agree.
        """
        worker = cls(spec, device=device)
        threading.Thread(target=worker._own, name=f"gpu-worker-{device}", daemon=True).start()
        try:
            yield worker
        finally:
            worker.kill(reason="it was told to end")
            await worker._gone.wait()

    async def events(self) -> AsyncIterator[FromWorker]:
        """What the worker says, until its process is gone."""
        while (event := await self._events.get()) is not None:
            yield event

    def send(self, message: ToWorker) -> None:
        """Say something to a worker that has said Ready; a dead one does not hear it.

        Never blocks: at most one job and one cancellation are unread, and the pipe holds both.
        """
        if self._pipe is not None:
            with suppress(OSError):  # it just died; `events` ends, and says so
                self._pipe.send(message)

    def expect_event(self, *, within_s: float | None) -> None:
        """Kill the process if it says nothing for that long; None lifts the limit."""
        if self._alarm is not None:
            self._alarm.cancel()

        self._alarm = None
        if within_s is not None:
            reason = f"it said nothing for {within_s:g} s"
            self._alarm = self._loop.call_later(within_s, lambda: self.kill(reason=reason))

    def kill(self, *, reason: str) -> None:
        """End the process now. The first reason given is the one that `ending` tells."""
        self.expect_event(within_s=None)
        self._kill_reason = self._kill_reason or reason
        if self._process is not None:
            self._process.kill()

    def _own(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve,
            args=(self._spec, self.device, theirs),
            name=f"gpu-worker-{self.device}",
            daemon=True,
        )
        try:
            process.start()
            theirs.close()
            self._loop.call_soon_threadsafe(self._started, process, ours)
            self._read_until_gone(process, ours)
        except Exception:
            log.exception("the thread of the worker on %s failed", self.device)
            process.kill()
        finally:
            process.join()
            self._loop.call_soon_threadsafe(self._ended, process.exitcode)

    def _read_until_gone(self, process: SpawnProcess, pipe: Pipe) -> None:
        with suppress(EOFError, OSError):
            while process.is_alive() or pipe.poll():
                if pipe.poll(_LOOK_S):
                    self._loop.call_soon_threadsafe(self._events.put_nowait, pipe.recv())

    def _started(self, process: SpawnProcess, pipe: Pipe) -> None:
        self.pid = process.pid
        self._process = process
        self._pipe = pipe
        if self._kill_reason:  # wanted while the process was being started
            process.kill()

    def _ended(self, exitcode: int | None) -> None:
        self.expect_event(within_s=None)
        self.ending = self._kill_reason or f"its process ended with status {exitcode}"
        if self._pipe is not None:
            self._pipe.close()

        self._events.put_nowait(None)
        self._gone.set()

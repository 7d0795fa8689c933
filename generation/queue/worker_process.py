"""The asyncio side's hold on one worker process."""

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TypeAlias

from generation.worker.backend import BackendSpec
from generation.worker.main import serve
from generation.worker.messages import FromWorker, ToWorker

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

    def __init__(self, models: Mapping[str, BackendSpec], *, device: str) -> None:
        self.device = device
        self.pid: int | None = None
        self.ending = ""
        """Why the process ended, as a phrase; empty while it lives."""
        self._models = models
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[FromWorker | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._process: SpawnProcess | None = None
        self._pipe: Pipe | None = None
        self._kill_reason = ""
        self._alarm: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the process; on leaving, kill it unless it has ended, and wait until it is gone.

        SIGKILL is the ordinary end: the process holds nothing that outlives it, and no library
        has to agree.
        """
        threading.Thread(target=self._own, name=f"gpu-worker-{self.device}", daemon=True).start()
        try:
            yield
        finally:
            self.kill(reason="it was told to end")
            await self._gone.wait()

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
        # The process inherits this thread's mask: what a terminal or a supervisor sends to the
        # whole group is for the parent, which gives a running picture its time and then kills.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        name = f"gpu-worker-{self.device}"
        process = context.Process(
            target=serve, args=(self._models, self.device, theirs), name=name, daemon=True
        )
        try:
            process.start()
        except OSError as exc:
            log.exception("%s could not be started", name)
            self._tell(self._ended, f"it could not be started: {exc}")
            return

        theirs.close()
        self._tell(self._started, process, ours)
        try:
            while process.is_alive() or ours.poll():
                if ours.poll(_LOOK_S):
                    self._tell(self._events.put_nowait, ours.recv())
        except (EOFError, OSError):
            pass  # the ordinary end of a pipe
        except Exception:  # something that cannot be unpickled here
            log.exception("%s said what nobody understands", name)
            process.kill()

        process.join()
        self._tell(self._ended, _phrase(process.exitcode))

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        self._loop.call_soon_threadsafe(callback, *args)

    def _started(self, process: SpawnProcess, pipe: Pipe) -> None:
        self.pid = process.pid
        self._process = process
        self._pipe = pipe
        if self._kill_reason:  # wanted while the process was being started
            process.kill()

    def _ended(self, ending: str) -> None:
        self.expect_event(within_s=None)
        self.ending = self._kill_reason or ending
        if self._process is not None and self._pipe is not None:
            self._process.close()
            self._pipe.close()

        self._process = self._pipe = None
        self._events.put_nowait(None)
        self._gone.set()


def _phrase(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its process was killed by {signal.Signals(-exitcode).name}"

    return f"its process ended with status {exitcode}"

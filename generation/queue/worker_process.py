"""One worker process, started, read and killed from asyncio."""

import asyncio
import logging
import multiprocessing
import queue
import signal
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TypeAlias

from generation.worker.main import serve
from generation.worker.messages import FromWorker, ToWorker
from generation.worker.specs import BackendSpec

log = logging.getLogger(__name__)

Pipe: TypeAlias = "Connection[ToWorker, FromWorker]"  # generic for type checkers only

_POLL_S = 1.0
"""How often to check that a silent process is alive. Usually the end of its pipe is noticed
sooner, but not if it left a child process that holds the pipe open."""


class WorkerProcess:
    """One worker process, from its start to its end, and the two threads that serve it.

    One starts the process, reads its pipe and reaps it, the other writes to the pipe, so that none
    of these blocks the event loop. The first must live as long as the process: Linux kills the
    process when the thread that started it ends.
    """

    def __init__(self, models: Mapping[str, BackendSpec], *, device: str) -> None:
        self.device = device
        self.pid: int | None = None
        self.ending = ""
        """Why the process ended, as a phrase; empty while it is alive."""
        self._models = models
        self._loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[FromWorker | None] = asyncio.Queue()
        self._outgoing: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        self._gone = asyncio.Event()
        self._process: SpawnProcess | None = None
        self._kill_reason = ""
        self._timeout: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the process. On leaving, kill it unless it has ended, and wait until it is gone.

        SIGKILL is the normal end: the process holds nothing that outlives it, and no library
        can delay its exit.
        """
        threading.Thread(target=self._own, name=f"gpu-worker-{self.device}", daemon=True).start()
        try:
            yield
        finally:
            self.kill(reason="it was no longer needed")
            await self._gone.wait()

    async def messages(self) -> AsyncIterator[FromWorker]:
        """What the worker sends, until its process is gone."""
        while (message := await self._messages.get()) is not None:
            yield message

    def send(self, message: ToWorker) -> None:
        """Send to a worker that has reported Ready. Has no effect if its process is dead.

        Never blocks, although the pipe does not hold an image that is to be varied.
        """
        self._outgoing.put(message)

    def expect_message(self, *, within_s: float | None) -> None:
        """Kill the process if it sends nothing for that long; None lifts the limit."""
        if self._timeout is not None:
            self._timeout.cancel()

        self._timeout = None
        if within_s is not None:
            reason = f"it sent nothing for {within_s:g} s"
            self._timeout = self._loop.call_later(within_s, lambda: self.kill(reason=reason))

    def kill(self, *, reason: str) -> None:
        """Kill the process now. `ending` will be the first reason given."""
        self.expect_message(within_s=None)
        self._kill_reason = self._kill_reason or reason
        if self._process is not None:
            self._process.kill()

    def _own(self) -> None:
        # The process inherits this thread's mask. Signals that a terminal or an init system sends
        # to the whole group are for the parent, which lets a running job finish and then kills.
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
            self._on_loop(self._ended, f"it could not be started: {exc}")
            return

        theirs.close()
        threading.Thread(
            target=self._write, args=(ours,), name=f"{name}-writer", daemon=True
        ).start()
        self._on_loop(self._started, process)
        try:
            while process.is_alive() or ours.poll():
                if ours.poll(_POLL_S):
                    self._on_loop(self._messages.put_nowait, ours.recv())
        except (EOFError, OSError):
            pass  # the normal end of a pipe
        except Exception:  # something that cannot be unpickled here
            log.exception("a message from %s could not be read", name)
            process.kill()

        process.join()
        self._outgoing.put(None)
        self._on_loop(self._ended, _phrase(process.exitcode))

    def _write(self, pipe: Pipe) -> None:
        """Send what is to be sent until the process is gone, then close the pipe."""
        while (message := self._outgoing.get()) is not None:
            with suppress(OSError):  # the process just died, which `messages` reports by ending
                pipe.send(message)

        pipe.close()

    def _on_loop(self, callback: Callable[..., None], *args: object) -> None:
        self._loop.call_soon_threadsafe(callback, *args)

    def _started(self, process: SpawnProcess) -> None:
        self.pid = process.pid
        self._process = process
        if self._kill_reason:  # killed while the process was starting
            process.kill()

    def _ended(self, ending: str) -> None:
        self.expect_message(within_s=None)
        self.ending = self._kill_reason or ending
        if self._process is not None:
            self._process.close()

        self._process = None
        self._messages.put_nowait(None)
        self._gone.set()


def _phrase(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its process was killed by {signal.Signals(-exitcode).name}"

    return f"its process ended with status {exitcode}"

"""One child process, started, read and killed from asyncio."""

import logging
import multiprocessing
import queue
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from multiprocessing.context import SpawnProcess
from typing import Any

from generation.processes.link import Link, Received, Sent

log = logging.getLogger(__name__)

_POLL_S = 1.0
"""How often to check that a silent process is alive. Usually the end of its pipe is noticed
sooner, but not if it left a child process that holds the pipe open."""


class ChildProcess(Link[Sent, Received]):
    """One process, from its start to its end, and the two threads that serve it.

    target: what the process runs, with the arguments and its end of a pipe.

    One thread starts the process, reads its pipe and reaps it, the other writes to the pipe, so
    that none of these blocks the event loop. The first must live as long as the process: Linux
    kills the process when the thread that started it ends.
    """

    def __init__(self, target: Callable[..., None], *args: object, name: str) -> None:
        super().__init__()
        self._target = target
        self._args = args
        self._name = name
        self._outgoing: queue.SimpleQueue[Sent | None] = queue.SimpleQueue()
        self._process: SpawnProcess | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the process. On leaving, kill it unless it has ended, and wait until it is gone.

        SIGKILL is the normal end: the process holds nothing that outlives it, and no library
        can delay its exit.
        """
        threading.Thread(target=self._own, name=self._name, daemon=True).start()
        try:
            yield
        finally:
            self.kill(reason="it was no longer needed")
            await self._gone.wait()

    def send(self, message: Sent) -> None:
        """Send to the process. Has no effect if it is dead.

        Never blocks, although the pipe does not hold an image that is to be varied.
        """
        self._outgoing.put(message)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _own(self) -> None:
        # The process inherits this thread's mask. Signals that a terminal or an init system sends
        # to the whole group are for the parent, which lets a running job finish and then kills.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=self._target, args=(*self._args, theirs), name=self._name, daemon=True
        )
        try:
            process.start()
        except OSError as exc:
            log.exception("%s could not be started", self._name)
            self._on_loop(self._ended, f"it could not be started: {exc}")
            return

        theirs.close()
        threading.Thread(
            target=self._write, args=(ours,), name=f"{self._name}-writer", daemon=True
        ).start()
        self._on_loop(self._started, process)
        try:
            while process.is_alive() or ours.poll():
                if ours.poll(_POLL_S):
                    self._on_loop(self._messages.put_nowait, ours.recv())
        except (EOFError, OSError):
            pass  # the normal end of a pipe
        except Exception:  # something that cannot be unpickled here
            log.exception("a message from %s could not be read", self._name)
            process.kill()

        process.join()
        self._outgoing.put(None)
        self._on_loop(self._ended, _phrase(process.exitcode))

    def _write(self, pipe: Any) -> None:
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
        if self._process is not None:
            self._process.close()

        self._process = None
        super()._ended(ending)


def _phrase(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its process was killed by {signal.Signals(-exitcode).name}"

    return f"its process ended with status {exitcode}"

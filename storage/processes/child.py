"""An object that lives in a process of its own: both ends of the pipe.

Oxen keeps the GIL and may hang, so whatever calls it must be another process, and killable. A
process that dies, hangs or fails is thrown away; whoever needs it starts another.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Protocol, Self

from storage.errors import StorageError

log = logging.getLogger(__name__)

_LOG_LIMIT_BYTES = 4 * 1024 * 1024
_PR_SET_PDEATHSIG = 1


class MakeError(Protocol):
    """Makes an error from what was being done and why it failed."""

    def __call__(self, doing: str, *, reason: str) -> StorageError: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a call raises when the process is `gone` or silent, or failed in an `unexpected` way."""

    gone: MakeError
    unexpected: MakeError


class ChildProcess:
    """The parent's end: every call is answered by the process.

    Calls block, for a time-out at most, and belong on one thread, the one that called `start`: on
    Linux the process is killed when that thread ends, so that it never outlives its parent. Every
    call raises what the method raised, or `failure.gone` when the process is gone or silent; it is
    dead then.
    """

    def __init__(
        self,
        process: SpawnProcess,
        pipe: Connection,
        *,
        name: str,
        log_path: Path,
        failure: Failure,
    ) -> None:
        self._process = process
        self._pipe = pipe
        self._name = name
        self._log = log_path
        self._failure = failure

    @classmethod
    def start(
        cls, open_target: Callable[[], Any], *, name: str, log_path: Path, failure: Failure
    ) -> Self:
        """Start the process, which then opens its object. `open_target` and `failure` must survive
        pickling, and what is in them stays out of the process's arguments."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(theirs, open_target, log_path, failure, os.getpid()),
            name=f"oxherd-{name}",
            daemon=True,
        )
        process.start()
        theirs.close()  # so that its end is the only one, and its death is the end of the pipe

        return cls(process, ours, name=name, log_path=log_path, failure=failure)

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait_until_open(self, *, timeout_s: float) -> None:
        """Wait for the object to be opened, once; raises what kept it from that."""
        self._answer(doing="opening it", timeout_s=timeout_s)

    def call(self, method: str, *, timeout_s: float, **arguments: Any) -> Any:
        """The method's answer."""
        try:
            self._pipe.send((method, arguments))
        except OSError as exc:
            self._end()
            raise self._failure.gone(method, reason=f"the {self._name} died") from exc

        return self._answer(doing=method, timeout_s=timeout_s)

    def close(self) -> None:
        """Let the process end by itself, or kill it if it does not within a second."""
        self._pipe.close()
        self._end(patience_s=1.0)

    def kill(self) -> None:
        """End the process now, from any thread: the call that waits for it raises. What it was
        doing can be done again."""
        self._process.kill()

    def _end(self, *, patience_s: float = 0.0) -> None:
        self._process.join(patience_s)
        self._process.kill()
        self._process.join()

    def _answer(self, *, doing: str, timeout_s: float) -> Any:
        try:
            if not self._pipe.poll(timeout_s):
                self._end()
                raise self._failure.gone(
                    doing, reason=f"the {self._name} was silent for {timeout_s:g} s and was ended"
                )

            failed, answer = self._pipe.recv()
        except (EOFError, OSError) as exc:
            self._end(patience_s=1.0)
            raise self._failure.gone(
                doing,
                reason=f"the {self._name} ended ({self._process.exitcode}), see {self._log}",
            ) from exc

        if failed:
            raise answer

        return answer


def _serve(
    pipe: Connection,
    open_target: Callable[[], Any],
    log_path: Path,
    failure: Failure,
    parent_pid: int,
) -> None:
    """The process's end: own the object and answer until the parent is gone."""
    _leave_stopping_to_the_parent(parent_pid)
    os.nice(5)  # whoever presses a button comes before what is done with an earlier press
    _send_output_to(log_path)

    try:
        target = open_target()
    except StorageError as exc:
        log.exception("it did not open")
        pipe.send((True, exc))
        return
    except Exception:
        log.exception("it did not open, unexpectedly")
        raise

    pipe.send((False, None))
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            break

        _bound_output(log_path)
        try:
            answer = (False, getattr(target, method)(**arguments))
        except StorageError as exc:
            log.exception("%s failed", method)
            answer = (True, exc)
        except Exception as exc:
            log.exception("%s failed unexpectedly", method)
            answer = (True, failure.unexpected(method, reason=f"{exc!r}, see the log"))

        try:
            pipe.send(answer)
        except BrokenPipeError:
            break

    target.close()


def _leave_stopping_to_the_parent(parent_pid: int) -> None:
    """Ctrl-C reaches the whole process group, but only the parent knows when votes are flushed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        # Even in the middle of a hanging call: nothing may hold the repository's lock for ever.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    if os.getppid() != parent_pid:
        os._exit(1)


def _send_output_to(path: Path) -> None:
    """Oxen prints from Rust, past sys.stdout: redirect the descriptors themselves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for output in (1, 2):
        os.dup2(descriptor, output)

    os.close(descriptor)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )


def _bound_output(path: Path) -> None:
    """Keep at most two logs of a few megabytes: Oxen prints a line for every file."""
    with contextlib.suppress(OSError):  # a full disk must not stop the commit that may free it
        if os.fstat(2).st_size > _LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
            _send_output_to(path)

"""An object that lives in a process of its own: both ends of the pipe.

Oxen keeps the GIL and may hang, so calls to it belong in a different process, which can be killed.
A process that dies, hangs or fails is thrown away, and its owner starts a new one.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from storage.errors import StorageError

log = logging.getLogger(__name__)

T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")

MakeError = Callable[[str, str], StorageError]
"""Makes an error from what was being done and why it failed."""

Progress = Callable[[int], int]
"""Changes as long as the process with this id gets on with its work."""

_OPENING_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 1.0
_LOG_LIMIT_BYTES = 4 * 1024 * 1024
_PR_SET_PDEATHSIG = 1


class ChildProcess(Generic[T_co]):
    """The parent's end of a process that holds one object, whose methods it calls.

    Calls block, and belong on one thread, the one that called `start`: on Linux the process is
    killed when that thread ends, so that it never outlives its parent. A call may be silent for
    `timeout_s`, which may be changed between calls: that is the time since `progress` of the
    process's id last changed or, without `progress`, the call's.
    """

    def __init__(
        self,
        process: SpawnProcess,
        pipe: Connection,
        *,
        name: str,
        log_path: Path,
        gone: MakeError,
        silent: MakeError,
        unexpected: MakeError,
        timeout_s: float,
        progress: Progress | None,
    ) -> None:
        self._process = process
        self._pipe = pipe
        self._name = name
        self._log = log_path
        self._gone = gone
        self._silent = silent
        self._unexpected = unexpected
        self._progress = progress
        self.timeout_s = timeout_s
        self._opened = False

    @classmethod
    def start(
        cls,
        open_target: Callable[[], T_co],
        *,
        name: str,
        log_path: Path,
        gone: MakeError,
        unexpected: MakeError,
        timeout_s: float,
        silent: MakeError | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Start the process, which then opens its object. `open_target` must survive pickling; it
        is sent through a pipe, so that no secret is in the process's arguments."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(theirs, open_target, log_path, os.getpid()),
            name=f"oxherd-{name}",
            daemon=True,
        )
        process.start()
        theirs.close()  # the child's copy is the only one left, so its death closes the pipe

        return cls(
            process,
            ours,
            name=name,
            log_path=log_path,
            gone=gone,
            silent=silent or gone,
            unexpected=unexpected,
            timeout_s=timeout_s,
            progress=progress,
        )

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait_until_open(self) -> None:
        """Wait until the object is open. Raises what kept it from opening."""
        if not self._opened:
            self._answer(doing="opening it", timeout_s=_OPENING_TIMEOUT_S)
            self._opened = True

    def call(
        self, method: Callable[Concatenate[T_co, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a method of the object in the process, e.g. `call(Writer.log, limit=20)`.

        Raises the StorageError that the method raised, `unexpected` for any other error, `gone`
        when the process died, and `silent` when it was silent for too long; it is dead then.
        """
        doing = f"calling {method.__name__}"
        try:
            self._pipe.send((method.__name__, args, kwargs))
        except OSError as exc:
            self._end()
            raise self._gone(doing, f"the {self._name} died") from exc

        answer: R = self._answer(doing=doing, timeout_s=self.timeout_s)

        return answer

    def close(self) -> None:
        """Let the process end by itself, or kill it if it does not within a second."""
        self._pipe.close()
        self._end(patience_s=1.0)

    def kill(self) -> None:
        """End the process now, from any thread: a call that waits for it raises."""
        self._process.kill()

    def _end(self, *, patience_s: float = 0.0) -> None:
        self._process.join(patience_s)
        self._process.kill()
        self._process.join()

    def _answer(self, *, doing: str, timeout_s: float) -> Any:
        try:
            if not self._answers_within(timeout_s):
                self._end()
                raise self._silent(
                    doing, f"the {self._name} was silent for {timeout_s:g} s and was killed"
                )

            answer, error = self._pipe.recv()
        except (EOFError, OSError) as exc:
            self._end(patience_s=1.0)
            raise self._gone(
                doing, f"the {self._name} ended ({self._process.exitcode}), see {self._log}"
            ) from exc

        if isinstance(error, StorageError):
            raise error

        if error is not None:
            raise self._unexpected(doing, f"{error}, see {self._log}")

        return answer

    def _answers_within(self, timeout_s: float) -> bool:
        """Wait for an answer; False after `timeout_s` without one and without progress."""
        pid = self._process.pid
        if self._progress is None or pid is None:
            return self._pipe.poll(timeout_s)

        seen = self._progress(pid)
        silent_since = time.monotonic()
        while not self._pipe.poll(min(_LOOK_EVERY_S, timeout_s / 4)):
            now = self._progress(pid)
            if now != seen:
                seen, silent_since = now, time.monotonic()
            elif time.monotonic() - silent_since >= timeout_s:
                return False

        return True


def _serve(
    pipe: Connection, open_target: Callable[[], object], log_path: Path, parent_pid: int
) -> None:
    """The process's end: own the object and answer until the parent is gone.

    An answer is a result and an error: None, a StorageError, or the text of any other error.
    """
    _leave_stopping_to_the_parent(parent_pid)
    os.nice(5)  # answering a button comes before committing and pushing
    _send_output_to(log_path)

    try:
        target = open_target()
    except StorageError as exc:
        log.exception("it did not open")
        pipe.send((None, exc))
        return
    except Exception:
        log.exception("it did not open, unexpectedly")
        raise

    pipe.send((None, None))
    while True:
        try:
            method, args, kwargs = pipe.recv()
        except EOFError:
            return

        _bound_output(log_path)
        answer: object = None
        error: StorageError | str | None = None
        try:
            answer = getattr(target, method)(*args, **kwargs)
        except StorageError as exc:
            log.exception("%s failed", method)
            error = exc
        except Exception as exc:
            log.exception("%s failed unexpectedly", method)
            error = repr(exc)

        try:
            pipe.send((answer, error))
        except BrokenPipeError:
            return


def _leave_stopping_to_the_parent(parent_pid: int) -> None:
    """Ignore Ctrl-C, which reaches the whole process group: the parent decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        # Works during a call that hangs, too: an orphan would keep the repository locked.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    if os.getppid() != parent_pid:
        os._exit(1)


def _send_output_to(path: Path) -> None:
    """Oxen prints from Rust, past sys.stdout: redirect the descriptors themselves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
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

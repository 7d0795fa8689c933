"""The worker process: connects a worker to the pipe, and dies with its parent."""

import os
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TypeAlias, assert_never

from generation.worker.environment import prepare
from generation.worker.messages import Cancel, FromWorker, Generate, ToWorker
from generation.worker.parent import die_with_parent
from generation.worker.specs import BackendSpec
from generation.worker.worker import Worker

_BETWEEN_S = 1.0
"""How often `between_requests` is called while the worker is idle."""

Pipe: TypeAlias = "Connection[FromWorker, ToWorker]"  # generic for type checkers only


def serve(models: Mapping[str, BackendSpec], device: str, pipe: Pipe) -> None:
    """Load the default model, then run jobs until the process is killed or the parent is gone.

    This thread is the only one that writes to the pipe. The parent reads all the time, so sending
    does not block: a preview is a few kilobytes. A second thread reads the pipe, so that a
    cancellation arrives while a job is running.
    """
    die_with_parent()
    if device in ("cpu", "auto"):
        # The bot answers at once, even if images on the CPU take longer for it. With a lower
        # priority, other programs that use every core would leave it next to nothing.
        os.nice(5)

    worker = Worker(models, device=prepare(os.environ, device=device), send=pipe.send)
    jobs: queue.SimpleQueue[Generate] = queue.SimpleQueue()
    threading.Thread(
        target=_read_forever, args=(pipe, jobs, worker), name="pipe-reader", daemon=True
    ).start()
    loaded = worker.load_default()
    while loaded:
        worker.between_requests()
        with suppress(queue.Empty):
            worker.run(jobs.get(timeout=_BETWEEN_S))


def _read_forever(pipe: Pipe, jobs: "queue.SimpleQueue[Generate]", worker: Worker) -> None:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)  # the parent is gone or closed the pipe, so nobody needs the result

        match message:
            case Generate():
                jobs.put(message)
            case Cancel(job_id=job_id):
                worker.cancel(job_id)
            case _:
                assert_never(message)

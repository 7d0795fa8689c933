"""A worker on a thread of this process, for tests in which no process is the point."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import assert_never

import pytest

from generation.queue import supervisor
from generation.queue.worker_process import WorkerProcess
from generation.worker.messages import Cancel, Generate, ToWorker
from generation.worker.specs import BackendSpec
from generation.worker.worker import Worker


class InlineWorker(WorkerProcess):
    """Behaves like a worker process. When killed, it stops at its job's next step."""

    def __init__(self, models: Mapping[str, BackendSpec], *, device: str) -> None:
        super().__init__(models, device=device)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inline-worker")
        self._worker = Worker(
            models,
            device=device,
            send=lambda message: self._on_loop(self._messages.put_nowait, message),
        )
        self._job_id = -1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._thread.submit(self._load)
        try:
            yield
        finally:
            self.kill(reason="it was no longer needed")
            await asyncio.to_thread(self._thread.shutdown)

    def _load(self) -> None:
        if not self._worker.load_default():
            self._on_loop(self._ended, "it could not load its model")

    def send(self, message: ToWorker) -> None:
        match message:
            case Generate(job_id=job_id):
                self._job_id = job_id
                self._thread.submit(self._worker.run, message)
            case Cancel(job_id=job_id):
                self._worker.cancel(job_id)
            case _:
                assert_never(message)

    def kill(self, *, reason: str) -> None:
        self._worker.cancel(self._job_id)
        self._ended(reason)


@contextmanager
def inline_workers() -> Iterator[None]:
    """Executors that are opened in the context run their workers on threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "WorkerProcess", InlineWorker)
        yield

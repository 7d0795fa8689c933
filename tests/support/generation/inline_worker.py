"""A worker on a thread of this process, for tests in which no process is the point."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import assert_never

import pytest

from generation.processes.link import Link
from generation.queue import executor
from generation.worker.messages import Cancel, FromWorker, Generate, ToWorker
from generation.worker.specs import BackendSpec
from generation.worker.worker import Worker


class InlineWorker(Link[ToWorker, FromWorker]):
    """Behaves like a worker process. When killed, it stops at its job's next step."""

    def __init__(self, models: Mapping[str, BackendSpec], *, device: str) -> None:
        super().__init__()
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

    def _kill(self) -> None:
        self._worker.cancel(self._job_id)
        if not self.ending:
            self._ended("it was killed")

    def _on_loop(self, callback: Callable[..., None], *args: object) -> None:
        self._loop.call_soon_threadsafe(callback, *args)


@contextmanager
def inline_workers() -> Iterator[None]:
    """Executors that are opened in the context run their workers on threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor, "WorkerProcess", InlineWorker)
        yield

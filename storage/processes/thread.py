"""Blocking jobs, one at a time, on a thread of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

T = TypeVar("T")


class OneThread:
    """A thread that starts with its first job and lasts until it is closed."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._last: asyncio.Future[Any] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str) -> AsyncIterator[Self]:
        """A thread until the block ends; then wait for the running job."""
        self = cls(name)
        try:
            yield self
        finally:
            await self.idle()
            self._pool.shutdown(wait=False)

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits, even if its caller was cancelled."""
        return self._last is not None and not self._last.done()

    async def run(self, job: Callable[[], T]) -> T:
        """The job's result. Cancelling the caller leaves the job running."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, job)
        # The caller may be cancelled by then, and asyncio logs errors that nobody retrieved.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._last = future

        return await asyncio.shield(future)

    async def idle(self) -> None:
        """Wait until nothing runs."""
        if self._last is not None:
            await asyncio.gather(self._last, return_exceptions=True)

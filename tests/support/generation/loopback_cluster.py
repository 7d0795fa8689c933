"""A cluster within this process, for tests in which Ray is not the point: it takes Ray's place.

Everything of ours is real but the driver's process: its messages, and the workers on threads.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import PurePosixPath
from typing import assert_never

import pytest

from generation.cluster import cluster
from generation.cluster.messages import (
    Away,
    Connected,
    FromDriver,
    Kill,
    Lost,
    Placed,
    Start,
    Tell,
    ToDriver,
    Told,
)
from generation.cluster.settings import ClusterSettings
from generation.processes.link import Link
from generation.worker.specs import BackendSpec
from tests.support.generation.inline_worker import InlineWorker

TWO_WORKERS = ClusterSettings(
    address="10.0.0.1:6379", workers=2, gpus=1, resources={}, folder=PurePosixPath("unused")
)


class LoopbackCluster:
    """Hosts that come and go when the test says so. away: why it cannot be used, if it cannot."""

    def __init__(self) -> None:
        self.away = ""
        self.drivers = 0
        self._free: dict[str, int] = {}  # host -> GPUs
        self._driver: LoopbackDriver | None = None

    def add(self, host: str, *, gpus: int = 1) -> None:
        self._free[host] = gpus
        if self._driver is not None:
            self._driver.place()

    def lose(self, host: str) -> None:
        """The host is gone, and all its workers with it."""
        self._free.pop(host, None)
        assert self._driver is not None
        self._driver.lose(host)

    def go(self, reason: str) -> None:
        """The cluster is away from now on, until `away` is empty again."""
        self.away = reason
        assert self._driver is not None
        self._driver.leave(reason)

    def take(self) -> str | None:
        """Reserve a GPU: its host, if one has room."""
        host = next((host for host, gpus in self._free.items() if gpus), None)
        if host is not None:
            self._free[host] -= 1

        return host

    def began(self, driver: "LoopbackDriver") -> None:
        self.drivers += 1
        self._driver = driver


class LoopbackDriver(Link[ToDriver, FromDriver]):
    """What the cluster's side of the bot talks to."""

    def __init__(self, hosts: LoopbackCluster, models: Mapping[str, BackendSpec]) -> None:
        super().__init__()
        self._hosts = hosts
        self._models = models
        self._unplaced: list[int] = []
        self._placed: dict[int, tuple[str, InlineWorker]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._hosts.began(self)
        if self._hosts.away:
            self.leave(self._hosts.away)
        else:
            self._messages.put_nowait(Connected())

        try:
            yield
        finally:
            for task in self._tasks.values():
                task.cancel()

            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def send(self, message: ToDriver) -> None:
        match message:
            case Start(worker_id=worker_id):
                self._unplaced.append(worker_id)
                self.place()
            case Tell(worker_id=worker_id, message=told):
                if worker_id in self._placed:
                    self._placed[worker_id][1].send(told)
            case Kill(worker_id=worker_id):
                if worker_id in self._unplaced:
                    self._unplaced.remove(worker_id)
            case _:
                assert_never(message)

    def _kill(self) -> None:
        self._ended("it was killed")

    def place(self) -> None:
        while not self.ending and self._unplaced and (host := self._hosts.take()) is not None:
            worker_id = self._unplaced.pop(0)
            worker = InlineWorker(self._models, device="cuda")
            self._placed[worker_id] = host, worker
            self._messages.put_nowait(Placed(worker_id=worker_id, host=host))
            self._tasks[worker_id] = asyncio.create_task(self._follow(worker_id, worker))

    def lose(self, host: str) -> None:
        lost = [worker_id for worker_id, (at, _) in self._placed.items() if at == host]
        for worker_id in lost:
            del self._placed[worker_id]
            self._tasks[worker_id].cancel()

        self._messages.put_nowait(Lost(endings=dict.fromkeys(lost, "its host is gone")))

    def leave(self, reason: str) -> None:
        self._messages.put_nowait(Away(reason=reason))
        self._ended(reason)

    async def _follow(self, worker_id: int, worker: InlineWorker) -> None:
        async with worker.running():
            async for message in worker.messages():
                self._messages.put_nowait(Told(worker_id=worker_id, messages=(message,)))


@contextmanager
def loopback_cluster() -> Iterator[LoopbackCluster]:
    """Executors that are opened in the context have this cluster, whatever its address."""
    hosts = LoopbackCluster()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "_RETRY_S", 0.01)
        patch.setattr(
            cluster,
            "ChildProcess",
            lambda drive, settings, models, name: LoopbackDriver(hosts, models),
        )
        yield hosts

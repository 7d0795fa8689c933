"""The bot's side of a cluster: keeps the driver's process alive, and has a link to each worker."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import assert_never

from generation.cluster.main import drive
from generation.cluster.messages import (
    SAYS_EVERY_S,
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
from generation.processes.child_process import ChildProcess
from generation.processes.link import Link
from generation.worker.messages import FromWorker, ToWorker
from generation.worker.specs import BackendSpec

log = logging.getLogger(__name__)

_CONNECTS_WITHIN_S = 120.0
_SILENT_FOR_S = 10 * SAYS_EVERY_S
_RETRY_S = 5.0

_NO_ROOM = "no host of the cluster has room for it yet"


class Cluster:
    """Workers on the hosts of a cluster, through one process that imports Ray.

    Ray ends the process in which it runs when it loses its cluster, so that is never the bot's.
    While the cluster is away, workers wait for it: nothing fails, and new ones may be started.
    """

    def __init__(self, settings: ClusterSettings, models: Mapping[str, BackendSpec]) -> None:
        self.problem = f"the cluster at {settings.address} has not answered yet"
        """Why the cluster cannot be used, as a phrase; empty while it can."""
        self._settings = settings
        self._models = models
        self._ids = itertools.count(1)
        self._workers: dict[int, ClusterWorker] = {}
        self._driver: ChildProcess[ToDriver, FromDriver] | None = None

    def worker(self) -> "ClusterWorker":
        """A new worker, to be started."""
        return ClusterWorker(next(self._ids), self)

    async def run(self) -> None:
        """Keep the driver's process alive until cancelled; on return it is gone."""
        while True:
            await self._run_driver()
            await asyncio.sleep(_RETRY_S)

    def add(self, worker: "ClusterWorker") -> None:
        """For workers: have the driver start this one, now or when it is there."""
        self._workers[worker.id] = worker
        self.tell(Start(worker_id=worker.id))

    def remove(self, worker: "ClusterWorker") -> None:
        """For workers: have the driver end this one."""
        if self._workers.pop(worker.id, None) is not None:
            self.tell(Kill(worker_id=worker.id))

    def tell(self, message: ToDriver) -> None:
        """For workers: send to the driver, if there is one."""
        if self._driver is not None:
            self._driver.send(message)

    async def _run_driver(self) -> None:
        driver: ChildProcess[ToDriver, FromDriver] = ChildProcess(
            drive, self._settings, self._models, name="cluster-driver"
        )
        refused = ""
        try:
            async with driver.running():
                self._driver = driver
                driver.expect_message(within_s=_CONNECTS_WITHIN_S)
                for worker_id in self._workers:
                    driver.send(Start(worker_id=worker_id))

                async for message in driver.messages():
                    if isinstance(message, Away):
                        refused = message.reason
                    else:
                        driver.expect_message(within_s=_SILENT_FOR_S)
                        self._handle(message)
        finally:
            self._driver = None
            ending = refused or f"the connection to it ended: {driver.ending}"
            self._set_problem(f"the cluster at {self._settings.address} cannot be used: {ending}")
            self._end(worker for worker in self._workers.values() if worker.host is not None)

    def _handle(self, message: Connected | Placed | Told | Lost) -> None:
        match message:
            case Connected():
                self._set_problem("")
            case Placed(worker_id=worker_id, host=host):
                if (worker := self._workers.get(worker_id)) is not None:
                    worker.place(host)
            case Told(worker_id=worker_id, messages=messages):
                if (worker := self._workers.get(worker_id)) is not None:
                    worker.receive(messages)
            case Lost(endings=endings):
                # All at once, before anybody hears of one: its job must not go to another of them.
                for worker_id, ending in endings.items():
                    if (worker := self._workers.pop(worker_id, None)) is not None:
                        worker.end(ending)
            case _:
                assert_never(message)

    def _set_problem(self, problem: str) -> None:
        if problem != self.problem:
            log.log(logging.WARNING if problem else logging.INFO, "%s", problem or "connected")

        self.problem = problem

    def _end(self, workers: "Iterable[ClusterWorker]") -> None:
        for worker in list(workers):
            del self._workers[worker.id]
            worker.end(self.problem)


class ClusterWorker(Link[ToWorker, FromWorker]):
    """One worker on whichever host has room for it."""

    def __init__(self, worker_id: int, cluster: Cluster) -> None:
        super().__init__()
        self.id = worker_id
        self._cluster = cluster
        self._silence_s: float | None = None  # the limit that begins when it is placed

    @property
    def waits_for(self) -> str:
        return "" if self.host is not None else self._cluster.problem or _NO_ROOM

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._cluster.add(self)
        try:
            yield
        finally:
            self.kill(reason="it was no longer needed")

    def send(self, message: ToWorker) -> None:
        self._cluster.tell(Tell(worker_id=self.id, message=message))

    def expect_message(self, *, within_s: float | None) -> None:
        self._silence_s = within_s
        super().expect_message(within_s=None if self.host is None else within_s)

    def place(self, host: str) -> None:
        """It runs on the host with this label."""
        self.host = host
        self.expect_message(within_s=self._silence_s)

    def receive(self, messages: Iterable[FromWorker]) -> None:
        """It sent these."""
        for message in messages:
            self._messages.put_nowait(message)

    def end(self, ending: str) -> None:
        """It is gone."""
        self._ended(ending)

    def _kill(self) -> None:
        """Ray keeps its GPU reserved until its process there is gone, so we need not wait."""
        self._cluster.remove(self)
        if not self.ending:
            self._ended("it was killed")

"""Drives the cluster: one task for each worker. Imports Ray.

A task reserves what its worker needs, starts an actor there, and asks it again and again what its
worker sent. An answer comes within seconds even if there is nothing to tell, so a host that is
frozen or cut off is noticed although its connection stays open.
"""

import asyncio
import os
import threading
from collections.abc import Mapping
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any, NoReturn, TypeAlias, assert_never

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError

from generation.cluster.connection import ClusterAway, connected, nodes, phrase
from generation.cluster.host import ANSWERS_WITHIN_S, Host
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
from generation.worker.messages import LoadFailed
from generation.worker.specs import BackendSpec

Pipe: TypeAlias = "Connection[FromDriver, ToDriver]"  # generic for type checkers only

_LOST_AFTER_S = ANSWERS_WITHIN_S + 18.0
_BEGINS_WITHIN_S = 60.0
_CLUSTER_ANSWERS_WITHIN_S = 30.0


class Driver:
    """Has the workers that the bot wants, and passes on what they say."""

    def __init__(
        self, settings: ClusterSettings, models: Mapping[str, BackendSpec], pipe: Pipe
    ) -> None:
        self._settings = settings
        self._models = models
        self._pipe = pipe
        self._workers: dict[int, _Worker] = {}
        self._actor_class: Any = ray.remote(Host).options(
            num_cpus=0,
            num_gpus=settings.gpus,
            resources=dict(settings.resources),
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )

    def run(self) -> None:
        """Until the process is killed, or the cluster is away."""
        try:
            with connected(self._settings.address):
                asyncio.run(self._drive())
        except ClusterAway as exc:
            self._leave(str(exc))
        except Exception as exc:  # noqa: BLE001 - the bot logs it
            self._leave(f"its driver failed: {phrase(exc)}")

    async def _drive(self) -> None:
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._read_forever, args=(loop,), name="pipe-reader", daemon=True
        ).start()
        while await _answers():
            self._pipe.send(Connected())
            await asyncio.sleep(SAYS_EVERY_S)

        self._leave("it no longer answers")

    def _leave(self, reason: str) -> NoReturn:
        self._pipe.send(Away(reason=reason))
        os._exit(1)  # a thread that asks the cluster may never return

    def _read_forever(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(0)  # the bot is gone; Ray ends the actors of a driver that is

            loop.call_soon_threadsafe(self._handle, message)

    def _handle(self, message: ToDriver) -> None:
        match message:
            case Start(worker_id=worker_id):
                worker = self._workers[worker_id] = _Worker(worker_id, self._actor_class.remote())
                worker.task = asyncio.create_task(self._serve(worker))
            case Tell(worker_id=worker_id, message=told):
                if (known := self._workers.get(worker_id)) is not None:
                    known.actor.send.remote(told)
            case Kill(worker_id=worker_id):
                if (known := self._workers.pop(worker_id, None)) is not None:
                    known.end()
            case _:
                assert_never(message)

    async def _serve(self, worker: "_Worker") -> None:
        """Follow a worker until it ends, and report that."""
        try:
            worker.ending = await self._follow(worker)
        except (RayError, TimeoutError) as exc:
            worker.ending = _ending(exc)
            await self._siblings_heard(worker)
        except Exception as exc:  # noqa: BLE001 - the bot logs it
            worker.ending = f"the driver of the cluster failed: {phrase(exc)}"

        lost = [other for other in self._workers.values() if other.ending]
        if lost:  # otherwise a sibling has reported it
            self._pipe.send(Lost(endings={other.id: other.ending for other in lost}))

        for other in lost:
            self._workers.pop(other.id).end()

    async def _follow(self, worker: "_Worker") -> str:
        """Place the worker and pass on what it sends until its process ends; why it did."""
        node_id, their_version = await worker.actor.introduce.remote()
        labels = {node.id: node.label for node in await asyncio.to_thread(nodes)}
        worker.host = labels.get(node_id, "a node that is gone")
        self._pipe.send(Placed(worker_id=worker.id, host=worker.host))
        if their_version != version("oxherd"):
            reason = (
                f"{worker.host} has oxherd {their_version}, and the bot {version('oxherd')}: "
                "install the same"
            )
            self._pipe.send(Told(worker_id=worker.id, messages=(LoadFailed(reason=reason),)))
            return reason

        async with asyncio.timeout(_BEGINS_WITHIN_S):
            await worker.actor.begin.remote(
                self._models,
                device="cuda" if self._settings.gpus else "auto",
                folder=self._settings.folder,
                label=worker.host,
            )

        while True:
            async with asyncio.timeout(_LOST_AFTER_S):
                received = await worker.actor.receive.remote()

            worker.was_heard()
            if received.messages:
                self._pipe.send(Told(worker_id=worker.id, messages=received.messages))

            if received.ending:
                return str(received.ending)

    async def _siblings_heard(self, worker: "_Worker") -> None:
        """Wait until all others on this host have answered, or are lost too.

        A job whose worker was lost with its host is not to be tried on that host.
        """
        worker.was_heard()
        siblings = [
            other
            for other in self._workers.values()
            if worker.host and other.host == worker.host and not other.ending
        ]
        await asyncio.gather(*(other.heard.wait() for other in siblings))


class _Worker:
    """A worker and its actor. host: its host's label, once it has one."""

    def __init__(self, worker_id: int, actor: Any) -> None:
        self.id = worker_id
        self.actor = actor
        self.host = ""
        self.ending = ""
        """Why it is lost; empty while it is not."""
        self.heard = asyncio.Event()
        """Set by its next answer, and by its loss."""
        self.task: asyncio.Task[None] | None = None

    def was_heard(self) -> None:
        self.heard.set()
        self.heard = asyncio.Event()

    def end(self) -> None:
        """Have Ray end its actor, and with it the worker's process."""
        self.was_heard()
        ray.kill(self.actor)
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


async def _answers() -> bool:
    """Whether the cluster answers."""
    try:
        async with asyncio.timeout(_CLUSTER_ANSWERS_WITHIN_S):
            await asyncio.to_thread(nodes)
    except (TimeoutError, RayError):
        return False

    return True


def _ending(exc: BaseException) -> str:
    match exc:
        case TimeoutError():
            return f"its host has not answered for {_LOST_AFTER_S:g} s"
        case ActorDiedError() | ActorUnavailableError():
            return "its host, or Ray's process there, is gone"
        case _:
            return phrase(exc)

"""The actor on a worker host: runs the same worker process as on the bot's host.

The process is a child of the actor's, so a model that crashes or holds the interpreter is told from
a host that is gone: the actor answers all the time.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from generation.processes.worker_process import WorkerProcess
from generation.request import Provenance
from generation.worker.messages import (
    Finished,
    FromWorker,
    Loaded,
    PreviewDrawn,
    Ready,
    StepDone,
    ToWorker,
)
from generation.worker.specs import BackendSpec

ANSWERS_WITHIN_S = 2.0
"""How long `receive` waits for a message before it answers that there is none."""

GATHERS_FOR_S = 0.05
"""How long steps and previews wait for more of them: an answer through Ray uses more of the
processor than many a step, and nobody sees that progress comes this much later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """messages: what the worker sent since the last call. ending: why its process has ended, as a
    phrase; empty while it is alive."""

    messages: tuple[FromWorker, ...]
    ending: str


class Host:
    """One worker process on this host. All methods run on the event loop of Ray's actor."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[FromWorker | None] = asyncio.Queue()
        self._process: WorkerProcess | None = None
        self._running: asyncio.Task[None] | None = None
        self._label = ""

    async def introduce(self) -> tuple[str, str]:
        """The id of the node that this is, and the version of oxherd that is installed here."""
        import ray

        return ray.get_runtime_context().get_node_id(), version("oxherd")

    async def begin(
        self,
        models: Mapping[str, BackendSpec],
        *,
        device: str,
        folder: PurePosixPath,
        label: str,
    ) -> None:
        """Start the worker process. label: what rows and the operator call this host."""
        self._label = label
        # A spawned process imports the main module of its parent: here, Ray's.
        sys.modules["__main__"].__file__ = None
        process = WorkerProcess(_kept_here(models, folder), device=device)
        self._process = process
        self._running = asyncio.create_task(self._run(process))

    async def send(self, message: ToWorker) -> None:
        """Pass the message on to the worker."""
        if self._process is not None:
            self._process.send(message)

    async def receive(self) -> Received:
        """What the worker sent; waits for it, but not for long."""
        messages: list[FromWorker] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWERS_WITHIN_S) as limit:
                message = await self._arrived.get()
                limit.reschedule(asyncio.get_running_loop().time() + GATHERS_FOR_S)
                while True:
                    messages += self._labelled(message)
                    if self._arrived.empty() and not isinstance(message, StepDone | PreviewDrawn):
                        break

                    message = await self._arrived.get()

        ending = "" if self._process is None or not self._arrived.empty() else self._process.ending

        return Received(messages=tuple(messages), ending=ending)

    async def _run(self, process: WorkerProcess) -> None:
        async with process.running():
            async for message in process.messages():
                self._arrived.put_nowait(message)

        self._arrived.put_nowait(None)

    def _labelled(self, message: FromWorker | None) -> list[FromWorker]:
        """The message, in which devices say on which host they are."""
        match message:
            case None:
                return []
            case Ready(models=models) | Loaded(models=models):
                here = {name: self._here(made_by) for name, made_by in models.items()}
                return [replace(message, models=here)]
            case Finished(made=made):
                made = replace(made, provenance=self._here(made.provenance))
                return [replace(message, made=made)]
            case _:
                return [message]

    def _here(self, made_by: Provenance) -> Provenance:
        return replace(made_by, device=f"{made_by.device} on {self._label}")


def _kept_here(
    models: Mapping[str, BackendSpec], folder: PurePosixPath
) -> Mapping[str, BackendSpec]:
    here = Path(folder).expanduser()
    here.mkdir(parents=True, exist_ok=True)

    return {name: spec.kept_in(here) for name, spec in models.items()}

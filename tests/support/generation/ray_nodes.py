"""A real Ray cluster on the loopback: nodes that are added, killed and frozen.

`python -m tests.support.generation.ray_nodes` is the process that has the nodes, because Ray starts
them on a main thread only. It reads a command a line and answers each with a line of JSON.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import psutil

from generation.cluster.settings import LABEL

_STORE_BYTES = 80_000_000  # the least that Ray takes


class RayNodes:
    """The head, which has no room for workers, and nodes by their label."""

    def __init__(self, process: asyncio.subprocess.Process, environment: Mapping[str, str]) -> None:
        self.address = ""
        self.environment = environment
        """What a process needs to know to use the cluster."""
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, *, open_to_anybody: bool = False) -> AsyncIterator[Self]:
        """The head; all nodes end with the context."""
        environment = {"RAY_AUTH_TOKEN": secrets.token_hex(20)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__),
            env={
                **os.environ,
                **environment,
                "RAY_AUTH_MODE": "disabled" if open_to_anybody else "token",
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_worker_niceness": "0",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        nodes = cls(process, environment)
        try:
            nodes.address = await nodes._answer()
            yield nodes
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def add(self, label: str, *, gpus: int) -> None:
        """A node that says it has so many GPUs."""
        await self._do("add", label, gpus)

    async def kill(self, label: str) -> None:
        """SIGKILL for all of its processes at once."""
        await self._do("kill", label)

    async def freeze(self, label: str) -> None:
        """SIGSTOP for all of its processes: its connections stay open."""
        await self._do("freeze", label)

    async def processes(self, label: str) -> list[int]:
        """The ids of the node's own processes, of its actors and of their workers."""
        found: list[int] = await self._do("processes", label)

        return found

    async def _do(self, *command: str | int) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

        return await self._answer()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that has the nodes ended")

        return json.loads(line)


def _serve() -> None:
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 0,
        "num_gpus": 0,
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes: dict[str, Any] = {}
    _say(cluster.address)
    for line in sys.stdin:
        match json.loads(line):
            case ["add", label, gpus]:
                nodes[label] = cluster.add_node(
                    num_cpus=1,
                    num_gpus=gpus,
                    labels={LABEL: label},
                    object_store_memory=_STORE_BYTES,
                )
                _say(None)
            case ["kill", label]:
                _signal(nodes[label], signal.SIGKILL)
                cluster.remove_node(nodes.pop(label), allow_graceful=False)
                _say(None)
            case ["freeze", label]:
                _signal(nodes[label], signal.SIGSTOP)
                _say(None)
            case ["processes", label]:
                _say([process.pid for process in _processes(nodes[label])])

    for node in nodes.values():
        _signal(node, signal.SIGKILL)  # a frozen one would not end

    cluster.shutdown()


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _signal(node: Any, number: int) -> None:
    for process in _processes(node):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _processes(node: Any) -> list[psutil.Process]:
    found = []
    for started in node.all_processes.values():
        for info in started:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(info.process.pid)
                found += [process, *process.children(recursive=True)]

    return found


if __name__ == "__main__":
    _serve()

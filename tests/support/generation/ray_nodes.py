"""A real Ray cluster on this machine: nodes that are added, killed, frozen, cut off and taken back.

`python -m tests.support.generation.ray_nodes` is the process that has the nodes, because Ray starts
them on a main thread only. It reads a command a line and answers each with a line of JSON.

To be cut off, a node needs a network of its own, and to make one this process must be root of its
network: `unshare --map-root-user --net COMMAND` needs no root.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any, Self

import psutil

from generation.cluster.settings import LABEL
from tests.support.generation.networks import Networks

_STORE_BYTES = 80_000_000  # the least that Ray takes
_ENDS_WITHIN_S = 120.0


class RayNodes:
    """The head, which has no room for workers, and nodes by their label."""

    def __init__(self, process: asyncio.subprocess.Process, environment: Mapping[str, str]) -> None:
        self.address = ""
        self.environment = environment
        """What a process needs to know to use the cluster."""
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(
        cls, *, open_to_anybody: bool = False, own_networks: bool = False
    ) -> AsyncIterator[Self]:
        """The head; all nodes end with the context. own_networks: whether nodes can be cut off."""
        environment = {"RAY_AUTH_TOKEN": secrets.token_hex(20)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, *(["own-networks"] if own_networks else [])),
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

    async def cut(self, label: str) -> None:
        """Its network is gone: what is sent to it or by it gets lost, and nobody is told."""
        await self._do("cut", label)

    async def mend(self, label: str) -> None:
        """Give a node that was cut off its network again, whatever the cluster takes it for."""
        await self._do("mend", label)

    async def bring_back(self, label: str) -> None:
        """Go on with a node that was frozen or cut off, once the cluster takes it for dead. It ends
        itself when it hears of that, and is started again, as by its supervisor."""
        await self._do("bring back", label)

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


class _Nodes:
    """The nodes, in the process that has them."""

    def __init__(self, networks: Networks | None) -> None:
        from ray.cluster_utils import Cluster

        self._networks = networks
        self._gpus: dict[str, int] = {}
        self._nodes: dict[str, Any] = {}
        head = {
            "num_cpus": 0,
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            **({} if networks is None else {"node_ip_address": networks.address}),
        }
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address

    def add(self, label: str, gpus: int) -> None:
        self._gpus[label] = gpus
        with nullcontext() if self._networks is None else self._networks.of(label) as address:
            self._nodes[label] = self._cluster.add_node(
                num_cpus=1,
                num_gpus=gpus,
                labels={LABEL: label},
                object_store_memory=_STORE_BYTES,
                **({} if address is None else {"node_ip_address": address}),
            )

    def kill(self, label: str) -> None:
        self._signal(label, signal.SIGKILL)
        self._cluster.remove_node(self._nodes.pop(label), allow_graceful=False)

    def freeze(self, label: str) -> None:
        self._signal(label, signal.SIGSTOP)

    def cut(self, label: str) -> None:
        assert self._networks is not None
        self._networks.set(label, "down")

    def mend(self, label: str) -> None:
        assert self._networks is not None
        self._networks.set(label, "up")

    def bring_back(self, label: str) -> None:
        while self._is_alive(label):
            time.sleep(0.5)

        if self._networks is not None:
            self._networks.set(label, "up")

        self._signal(label, signal.SIGCONT)
        [raylet] = self._nodes[label].all_processes["raylet"]
        raylet.process.wait(_ENDS_WITHIN_S)
        self.kill(label)  # what it left
        self.add(label, self._gpus[label])

    def end(self) -> None:
        for label in self._nodes:
            self._signal(label, signal.SIGKILL)  # a frozen one would not end

        self._cluster.shutdown()

    def processes(self, label: str) -> list[int]:
        return [process.pid for process in _processes(self._nodes[label])]

    def _is_alive(self, label: str) -> bool:
        """Whether the cluster takes it for alive."""
        node_id = self._nodes[label].node_id
        nodes = self._cluster.global_state.node_table()

        return any(node["NodeID"] == node_id and node["Alive"] for node in nodes)

    def _signal(self, label: str, number: int) -> None:
        for process in _processes(self._nodes[label]):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _serve(*, own_networks: bool) -> None:
    nodes = _Nodes(Networks() if own_networks else None)
    _say(nodes.address)
    for line in sys.stdin:
        match json.loads(line):
            case ["processes", label]:
                _say(nodes.processes(label))
                continue
            case ["add", label, gpus]:
                nodes.add(label, gpus)
            case ["kill", label]:
                nodes.kill(label)
            case ["freeze", label]:
                nodes.freeze(label)
            case ["cut", label]:
                nodes.cut(label)
            case ["mend", label]:
                nodes.mend(label)
            case ["bring back", label]:
                nodes.bring_back(label)

        _say(None)

    nodes.end()


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _processes(node: Any) -> list[psutil.Process]:
    found = []
    for started in node.all_processes.values():
        for info in started:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(info.process.pid)
                found += [process, *process.children(recursive=True)]

    return found


if __name__ == "__main__":
    _serve(own_networks="own-networks" in sys.argv)

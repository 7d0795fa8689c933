"""The connection of a process to the cluster. Imports Ray, after `generation.cluster.main.prepare`.

Whoever reaches a cluster of Ray runs code on its hosts. So one that does not ask for a token is
not used.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray.exceptions import AuthenticationError, RayError

from generation.cluster.probe import ANSWERS_ANYBODY
from generation.cluster.settings import LABEL

_PROBED_WITHIN_S = 60.0


class ClusterAway(Exception):
    """The cluster cannot be used; the message is a phrase that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster that is alive. label: what its host is called."""

    id: str
    label: str
    gpus: float


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected while the context lasts. Raises ClusterAway."""
    if _answers_anybody(address):
        raise ClusterAway(
            "it takes commands from anybody who reaches it. Start every node with "
            "RAY_AUTH_MODE=token and the same token"
        )

    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except AuthenticationError:
        raise ClusterAway(
            "it does not take the token in RAY_AUTH_TOKEN, in the file RAY_AUTH_TOKEN_PATH or in "
            "~/.ray/auth_token of the bot's user"
        ) from None
    except (OSError, RayError, RuntimeError, ValueError) as exc:
        raise ClusterAway(phrase(exc)) from exc

    try:
        yield
    finally:
        ray.shutdown()


def nodes() -> Sequence[Node]:
    """The nodes that are alive; blocks until the cluster answers."""
    return [
        Node(
            id=node["NodeID"],
            label=node["Labels"].get(LABEL) or f"node-{node['NodeID'][:6]}",
            gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def phrase(exc: BaseException) -> str:
    """The error's type and the last line of its message, where Ray says what happened."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]

    return f"{type(exc).__name__}: {lines[-1] if lines else 'no more is known'}"


def _answers_anybody(address: str) -> bool:
    command = [sys.executable, "-m", "generation.cluster.probe", address]
    try:
        probe = subprocess.run(command, capture_output=True, timeout=_PROBED_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        return False  # nor will it answer us

    return probe.returncode == ANSWERS_ANYBODY

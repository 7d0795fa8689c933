"""Which cluster, how many workers, and what each of them needs; plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

LABEL = "oxherd-host"
"""The label of a node that names its host: `ray start --labels oxherd-host=NAME`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """address: of the head of the cluster, `host:port`.
    workers: how many there are at most; those without room on a host wait for it.
    gpus, resources: what Ray reserves for each worker; a part of a GPU may be reserved too.
    folder: where a host keeps what it compiled and learnt of models; `~` is its own user's.
    """

    address: str
    workers: int
    gpus: float
    resources: Mapping[str, float]
    folder: PurePosixPath

"""The state of the queue and its workers at one moment; pure."""

from dataclasses import dataclass
from enum import StrEnum


class WorkerState(StrEnum):
    WAITING = "waiting"
    """A host of the cluster must have room for it first."""
    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"
    RESTARTING = "restarting"
    FAILED = "failed"
    """The default model could not be loaded. Loading is retried, and the state stays `failed`
    until it succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """host: the label of the host in the cluster that it runs on; None for this host, or for none.
    pid: on its host; None while no process runs. models: the loaded ones, with their revisions.

    serving: how requests are served, as a phrase; empty when there is nothing to report.
    """

    device: str
    host: str | None
    pid: int | None
    state: WorkerState
    restarts: int
    last_error: str | None
    models: tuple[str, ...]
    serving: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStatus:
    """cluster_problem: why the cluster cannot be used, as a phrase; empty if it can.
    seconds_per_request: mean of each worker's last request; None until one is finished.
    """

    waiting: int
    running: int
    workers: tuple[WorkerStatus, ...]
    cluster_problem: str
    seconds_per_request: float | None

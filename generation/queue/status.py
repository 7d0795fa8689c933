"""The state of the queue and its workers at one moment; pure."""

from dataclasses import dataclass
from enum import StrEnum


class WorkerState(StrEnum):
    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"
    RESTARTING = "restarting"
    FAILED = "failed"
    """The default model could not be loaded. Loading is retried, and the state stays `failed`
    until it succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """pid: None while no process runs. models: the loaded ones, with their revisions.

    serving: how requests are served, as a phrase; empty when there is nothing to report.
    """

    device: str
    pid: int | None
    state: WorkerState
    restarts: int
    last_error: str | None
    models: tuple[str, ...]
    serving: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStatus:
    """seconds_per_request: mean of each worker's last request; None until one is finished."""

    waiting: int
    running: int
    workers: tuple[WorkerStatus, ...]
    seconds_per_request: float | None

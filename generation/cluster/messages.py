"""The messages between the bot and the process that drives the cluster; pure and picklable."""

from collections.abc import Mapping
from dataclasses import dataclass

from generation.worker.messages import FromWorker, ToWorker

SAYS_EVERY_S = 5.0
"""How often the driver says that the cluster answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Have a worker somewhere, as soon as a host has room for it."""

    worker_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Pass this on to a worker that is placed."""

    worker_id: int
    message: ToWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End this worker, or no longer wait for room for it. Not answered."""

    worker_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The cluster answers. Sent again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """The cluster cannot be used. The process ends after this message."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The worker has a host, with this label, and its process is started there."""

    worker_id: int
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What workers sent, in order."""

    worker_id: int
    messages: tuple[FromWorker, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """These workers have ended, and why: all that were lost with one host, in one message."""

    endings: Mapping[int, str]


ToDriver = Start | Tell | Kill
FromDriver = Connected | Away | Placed | Told | Lost

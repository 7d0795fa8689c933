"""How many may wait, and how long things may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorLimits:
    """What the executor refuses, and when it gives up.

    deadline_s: running time of one request, both tries together.
    silence_s: a worker that makes a picture and says nothing for so long is hung. Longer than
        the slowest step, and than the decoding after the last one.
    load_s: the same for loading; a first start may download gigabytes.
    retry_s: how soon a worker that ended is replaced; doubles with each failure, up to a minute.
    grace_s: what running jobs get when the executor closes.
    """

    max_waiting: int = 20
    max_waiting_per_person: int = 3
    max_running_per_person: int = 1
    deadline_s: float = 600.0
    silence_s: float = 120.0
    load_s: float = 1800.0
    retry_s: float = 0.5
    grace_s: float = 10.0

"""How many requests may wait, and how long things may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorLimits:
    """When the executor refuses a request, and when it gives up on a worker.

    max_waiting_per_person: while less than half of `max_waiting` wait; after that it is one.
    groups: how many groups of people share the queue. Each has an equal part of `max_waiting`.
    deadline_s: running time of one request, both attempts together.
    silence_s: a busy worker that sends nothing for this long is considered hung. Must exceed
        the slowest step, and the decoding after the last step.
    load_s: the same while a model loads; the first start may download gigabytes.
    retry_s: delay before a worker that ended is replaced; doubles with each failure, up to a
        minute.
    grace_s: how long running jobs may continue when the executor closes.
    """

    max_waiting: int = 20
    max_waiting_per_person: int = 3
    max_running_per_person: int = 1
    groups: int = 1
    deadline_s: float = 600.0
    silence_s: float = 120.0
    load_s: float = 1800.0
    retry_s: float = 0.5
    grace_s: float = 10.0

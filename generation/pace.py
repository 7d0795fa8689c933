"""How long requests take, learnt from the ones that were made; pure."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from generation.request import ImageRequest

_NEWEST_WEIGHT = 0.3
"""How much the newest request counts against all earlier ones."""


@dataclass(slots=True)
class Stopwatch:
    """The times of one run: when it started, and its first and latest steps."""

    started_at: float
    first_at: float | None = None
    latest_at: float | None = None
    first_step: int = 0
    step: int = 0
    steps: int = 0

    def lap(self, step: int, steps: int, *, now: float) -> None:
        if self.first_at is None:
            self.first_at, self.first_step = now, step

        self.latest_at, self.step, self.steps = now, step, steps

    def step_s(self) -> float | None:
        """Seconds from one step to the next; None until two are done."""
        if self.first_at is None or self.latest_at is None or self.step == self.first_step:
            return None

        return (self.latest_at - self.first_at) / (self.step - self.first_step)


class Pace:
    """A moving average of seconds for each step and image and pixel, and for the work around.

    Assumes that time grows with the product of these, which holds for a device that is busy;
    small batches on a large device are finished sooner than it says.
    """

    def __init__(self) -> None:
        self.request_s: float | None = None
        self._step_s_each: float | None = None
        self._around_s_each = 0.0

    def learn(self, request: ImageRequest, watch: Stopwatch, *, finished_at: float) -> None:
        """Take a finished run into account."""
        total_s = finished_at - watch.started_at
        step_s = watch.step_s() or total_s / request.steps
        around_s = max(0.0, total_s - step_s * request.steps)
        self.request_s = _average(self.request_s, total_s)
        known = self._step_s_each is not None
        self._around_s_each = _average(
            self._around_s_each if known else None, around_s / _area(request)
        )
        self._step_s_each = _average(self._step_s_each, step_s / _area(request))

    def whole_s(self, request: ImageRequest) -> float | None:
        """Seconds that a request will take from its start; None until one was finished."""
        if self._step_s_each is None:
            return None

        return (self._step_s_each * request.steps + self._around_s_each) * _area(request)

    def rest_s(self, request: ImageRequest, watch: Stopwatch, *, now: float) -> float | None:
        """Seconds until a running request is finished; None while nothing is known.

        Its own steps, once there are two, tell more than the average does.
        """
        around_s = self._around_s_each * _area(request)
        step_s = watch.step_s()
        if step_s is not None and watch.latest_at is not None:
            left_s = step_s * (watch.steps - watch.step) + around_s
            return max(0.0, left_s - (now - watch.latest_at))

        whole_s = self.whole_s(request)

        return None if whole_s is None else max(0.0, whole_s - (now - watch.started_at))


def _area(request: ImageRequest) -> int:
    return request.width_px * request.height_px * len(request.seeds)


def _average(before: float | None, newest: float) -> float:
    return newest if before is None else before + _NEWEST_WEIGHT * (newest - before)


def line_s(free_in_s: Sequence[float | None], ahead_s: Sequence[float | None]) -> float | None:
    """Seconds until the last of a line is finished, when whichever worker is free takes the next.

    free_in_s: when each worker will be free. ahead_s: how long each request takes, in the order
    of the line. None when there is no worker or any of these is not known.
    """
    if not free_in_s or None in free_in_s or None in ahead_s:
        return None

    free = [seconds for seconds in free_in_s if seconds is not None]
    heapq.heapify(free)
    finished = 0.0
    for seconds in ahead_s:
        finished = heapq.heappop(free) + (seconds or 0.0)
        heapq.heappush(free, finished)

    return finished

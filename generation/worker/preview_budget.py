"""When a preview of images that take long is worth its time; pure."""

import math

from generation.worker.stopwatch import Stopwatch

EVERY_S = 2.0
"""Discord's messages are edited no more often, so that more would not be seen."""

WORTH_WHILE_S = 6.0
"""Whoever has their images in less needs no preview."""

SHARE = 0.02
"""The part of a request's time that its previews may take."""


class PreviewBudget:
    """Whether a preview may be drawn now, in one worker.

    At most every two seconds, for a request that goes on for six or more, and so that what all of
    its previews took stays below a fiftieth of its time so far. What the next will take is what
    the last took, in this request or an earlier one; the very first of a worker is free.
    """

    def __init__(self) -> None:
        self._cost_s = 0.0
        self._spent_s = 0.0
        self._latest_at = -math.inf
        self._given_up = False

    def begin(self, *, now: float) -> None:
        """A request starts; times are seconds on any clock that does not go back."""
        self._spent_s = 0.0
        self._latest_at = now
        self._given_up = False

    def allows(self, watch: Stopwatch, *, now: float) -> bool:
        """Whether one may be drawn now of the run that the watch follows."""
        step_s = watch.step_s()
        if step_s is None or self._given_up or now - self._latest_at < EVERY_S:
            return False

        if step_s * (watch.steps - watch.step) < WORTH_WHILE_S:
            return False

        return self._spent_s + self._cost_s <= SHARE * (now - watch.started_at)

    def spend(self, seconds: float, *, now: float) -> None:
        """One was drawn, which began now and took so long."""
        self._cost_s = seconds
        self._spent_s += seconds
        self._latest_at = now

    def give_up(self) -> None:
        """No more of them in this request."""
        self._given_up = True

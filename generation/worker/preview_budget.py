"""When a preview is worth the time that it takes; pure."""

import math

from generation.worker.stopwatch import Stopwatch

EVERY_S = 2.0
"""The bot edits a message no more often, so more previews would not be seen."""

MIN_REMAINING_S = 6.0
"""A request that is finished sooner needs no preview."""

SHARE = 0.02
"""The fraction of a request's time that its previews may take."""


class PreviewBudget:
    """Whether a worker may draw a preview now.

    At most every two seconds, while six seconds or more remain, and while all previews of a
    request take less than a fiftieth of its time so far. The next is assumed to take as long as
    the last one, of this or an earlier request; a worker's very first is assumed to take no time.
    """

    def __init__(self) -> None:
        self._cost_s = 0.0
        self._spent_s = 0.0
        self._latest_at = -math.inf
        self._given_up = False

    def begin(self, *, now: float) -> None:
        """A request starts; times are seconds on any monotonic clock."""
        self._spent_s = 0.0
        self._latest_at = now
        self._given_up = False

    def allows(self, stopwatch: Stopwatch, *, now: float) -> bool:
        """Whether a preview may be drawn now, in the run that the stopwatch measures."""
        step_s = stopwatch.step_s()
        if step_s is None or self._given_up or now - self._latest_at < EVERY_S:
            return False

        if step_s * (stopwatch.steps - stopwatch.step) < MIN_REMAINING_S:
            return False

        return self._spent_s + self._cost_s <= SHARE * (now - stopwatch.started_at)

    def spend(self, seconds: float, *, now: float) -> None:
        """A preview was drawn, from `now` on, and took this many seconds."""
        self._cost_s = seconds
        self._spent_s += seconds
        self._latest_at = now

    def give_up(self) -> None:
        """Draw no more previews in this request."""
        self._given_up = True

"""Measures the steps of one run; pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class Stopwatch:
    """When a run started, and when its first and its latest step were done.

    started_at, first_at, latest_at: seconds on any monotonic clock.
    """

    started_at: float
    first_at: float | None = None
    latest_at: float | None = None
    first_step: int = 0
    step: int = 0
    steps: int = 0

    def lap(self, step: int, steps: int, *, now: float) -> None:
        """`step` of `steps` are done. A different total starts the measurement again."""
        if self.first_at is None or steps != self.steps:
            self.first_at, self.first_step = now, step

        self.latest_at, self.step, self.steps = now, step, steps

    def step_s(self) -> float | None:
        """Mean seconds per step; None until two are done.

        The first step is left out: it takes longer, often by far.
        """
        if self.first_at is None or self.latest_at is None or self.step == self.first_step:
            return None

        return (self.latest_at - self.first_at) / (self.step - self.first_step)

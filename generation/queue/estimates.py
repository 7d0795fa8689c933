"""Estimates how long requests take, from the ones that were finished; pure.

Once a worker has finished a request of the same shape, the estimated time left of a running one is
within 20 % from its second step on, and near its end within a second or a tenth of the total,
as long as the device's speed does not change. Until then the estimate comes from the request's
own steps, while many are left. A waiting request of a new shape is estimated in proportion to
the known shapes.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from generation.request import ImageRequest, Size
from generation.worker.stopwatch import Stopwatch

_STEPS_AFTER_LAST = 2.0
"""The assumed time after the last step, in steps, until a request was finished. It is 0 to 5 with
the models and devices in use, so the estimate is within 20 % down to _MIN_STEPS_LEFT steps."""

_MIN_STEPS_LEFT = 10

_NOISE = 1.15
"""Step times whose ratio is below this are considered equal."""


class _Shape(NamedTuple):
    """What determines how long a step takes.

    Times are kept for each shape, because they do not grow in proportion: a device that one image
    does not keep busy makes four as fast, and attention grows faster than the size.
    """

    model: str
    size: Size
    images: int
    guided: bool
    varied: bool

    @property
    def pixels(self) -> int:
        return self.size.pixels * self.images

    @property
    def work(self) -> int:
        """Pixels denoised in a step: each of them twice with guidance."""
        return self.pixels * (2 if self.guided else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """How long the parts of one run took, in seconds.

    before_s: before the first step.
    after_s: after the last step: decoding, PNG, sending.
    step_ratio: steps made for each step of the request. Some schedulers make one more, and a
        request that is split into batches makes them for each batch.
    """

    before_s: float
    step_s: float
    after_s: float
    step_ratio: float

    def total_s(self, steps: int) -> float:
        return self.before_s + self.step_s * steps * self.step_ratio + self.after_s


class Estimates:
    """Estimates from one worker's finished requests, kept for each shape.

    The faster of the last two runs counts, for each part of a run: the first run after loading is
    slow, so is one that was disturbed, and once a model is compiled all runs are faster.
    """

    def __init__(self) -> None:
        self._runs: dict[_Shape, deque[_Times]] = {}
        self.latest_s: float | None = None
        """Seconds that the last finished request took; None until then."""

    def learn(self, request: ImageRequest, watch: Stopwatch, *, finished_at: float) -> None:
        """Take a finished request into account; `finished_at` is on the stopwatch's clock."""
        first_at = watch.started_at if watch.first_at is None else watch.first_at
        latest_at = watch.started_at if watch.latest_at is None else watch.latest_at
        step_s = watch.step_s()
        if step_s is None:  # at most one step: everything before its end counts as that step
            step_s = (latest_at - watch.started_at) / max(1, watch.step)

        times = _Times(
            before_s=max(0.0, first_at - watch.started_at - step_s * watch.first_step),
            step_s=step_s,
            after_s=finished_at - latest_at,
            step_ratio=max(1, watch.steps) / request.steps_made,
        )
        self._runs.setdefault(_shape(request), deque(maxlen=2)).append(times)
        self.latest_s = finished_at - watch.started_at

    def total_s(self, request: ImageRequest) -> float | None:
        """Estimated seconds from the start to the end of a request; None until one was finished."""
        times = self._times(_shape(request))

        return None if times is None else times.total_s(request.steps_made)

    def remaining_s(self, request: ImageRequest, watch: Stopwatch, *, now: float) -> float | None:
        """Estimated seconds until a running request is finished; None while unknown.

        Once two of its own steps are done, their speed counts, not that of earlier requests.
        """
        times = self._times(_shape(request))
        step_s = watch.step_s()
        if step_s is None or watch.latest_at is None:
            total_s = None if times is None else times.total_s(request.steps_made)
            return None if total_s is None else max(0.0, total_s - (now - watch.started_at))

        steps_left = watch.steps - watch.step
        if times is not None:
            same = _shape(request) in self._runs  # otherwise its earlier step time is a guess too
            after_s = times.after_s * (_slowdown(times.step_s, step_s) if same else 1.0)
        elif steps_left >= _MIN_STEPS_LEFT:
            after_s = _STEPS_AFTER_LAST * step_s
        else:
            return None

        since_s = now - watch.latest_at
        if steps_left:  # a step that takes longer than expected is still not done
            since_s = min(since_s, step_s)

        return max(0.0, step_s * steps_left + after_s - since_s)

    def _times(self, shape: _Shape) -> _Times | None:
        runs = self._runs.get(shape)
        if runs is not None:
            return _faster(runs)

        known = [other for other in self._runs if other.model == shape.model]
        if not known:
            return None

        nearest = min(known, key=lambda other: abs(other.work / shape.work - 1))
        times = _faster(self._runs[nearest])

        return _Times(
            before_s=times.before_s,
            step_s=times.step_s * shape.work / nearest.work,
            after_s=times.after_s * shape.pixels / nearest.pixels,
            step_ratio=times.step_ratio,
        )


def first_known(times_s: Iterable[float | None]) -> float | None:
    """The first that is known, if any."""
    return next((seconds for seconds in times_s if seconds is not None), None)


def _slowdown(before_s: float, now_s: float) -> float:
    """How many times slower a step is than before; 1 for what may be noise.

    A model compiled meanwhile, a throttled or a shared device change decoding as much as steps.
    """
    if before_s <= 0:
        return 1.0

    slowdown = now_s / before_s

    return 1.0 if 1 / _NOISE < slowdown < _NOISE else slowdown


def _shape(request: ImageRequest) -> _Shape:
    return _Shape(
        request.model,
        request.size,
        len(request.seeds),
        request.is_guided,
        request.variation is not None,
    )


def _faster(runs: Sequence[_Times]) -> _Times:
    return _Times(
        before_s=min(run.before_s for run in runs),
        step_s=min(run.step_s for run in runs),
        after_s=min(run.after_s for run in runs),
        step_ratio=runs[-1].step_ratio,
    )

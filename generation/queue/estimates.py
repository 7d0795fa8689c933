"""How long requests take, learnt from the ones that were made; pure.

What is promised: once a request of the same shape was finished by the same worker, the time left
of a running one is told to 20 % from its second step on, and near its end to a second or a tenth
of the whole, as long as its device keeps its pace. Before that it is told from its own
steps alone, while many are left; a waiting one of a new shape is told in proportion to those that
are known.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from generation.request import ImageRequest, Size
from generation.worker.stopwatch import Stopwatch

_AFTER_IN_STEPS = 2.0
"""What comes after the steps, in steps, until a request was finished. Between 0 and 5 with the
models and devices in use, so that it is a guess of 20 % once as many are left as the next says."""
_FEWEST_LEFT_TO_GUESS = 10

_OTHER_PACE = 1.15
"""Steps so many times as slow or as quick as before are not noise."""


class _Shape(NamedTuple):
    """What decides how long a step takes. A device that is not busy with one image makes four as
    fast, and attention grows faster than the picture, so times are kept for each."""

    model: str
    size: Size
    images: int
    guided: bool

    @property
    def pixels(self) -> int:
        return self.size.pixels * self.images

    @property
    def work(self) -> int:
        """Pixels denoised in a step: with guidance each is, twice."""
        return self.pixels * (2 if self.guided else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """Of one run, in seconds: before its steps, a step, and after them: decoding, PNG, the way.

    steps_each: steps made for each that was asked for; some schedulers make one more, and a
        request that is split into batches makes them for each batch.
    """

    before_s: float
    step_s: float
    after_s: float
    steps_each: float

    def whole_s(self, steps: int) -> float:
        return self.before_s + self.step_s * steps * self.steps_each + self.after_s


class Pace:
    """What one worker's last runs took, for each shape of request.

    The quicker of the last two counts, part for part: the first run after loading is slow, one
    that was disturbed is too, and once a model is compiled all are quicker from one to the next.
    """

    def __init__(self) -> None:
        self._runs: dict[_Shape, deque[_Times]] = {}
        self.request_s: float | None = None
        """Seconds for the whole of the last request."""

    def learn(self, request: ImageRequest, watch: Stopwatch, *, finished_at: float) -> None:
        """Take a finished run into account."""
        first_at = watch.started_at if watch.first_at is None else watch.first_at
        latest_at = watch.started_at if watch.latest_at is None else watch.latest_at
        step_s = watch.step_s()
        if step_s is None:  # a single step, or none: all before its end is that step
            step_s = (latest_at - watch.started_at) / max(1, watch.step)

        times = _Times(
            before_s=max(0.0, first_at - watch.started_at - step_s * watch.first_step),
            step_s=step_s,
            after_s=finished_at - latest_at,
            steps_each=max(1, watch.steps) / request.steps,
        )
        self._runs.setdefault(_shape(request), deque(maxlen=2)).append(times)
        self.request_s = finished_at - watch.started_at

    def whole_s(self, request: ImageRequest) -> float | None:
        """Seconds that a request will take from its start; None until one was finished."""
        times = self._times(_shape(request))

        return None if times is None else times.whole_s(request.steps)

    def rest_s(self, request: ImageRequest, watch: Stopwatch, *, now: float) -> float | None:
        """Seconds until a running request is finished; None while nothing is known.

        Its own steps, once there are two, tell more than earlier requests do.
        """
        times = self._times(_shape(request))
        step_s = watch.step_s()
        if step_s is None or watch.latest_at is None:
            whole_s = None if times is None else times.whole_s(request.steps)
            return None if whole_s is None else max(0.0, whole_s - (now - watch.started_at))

        steps_left = watch.steps - watch.step
        if times is not None:
            same = _shape(request) in self._runs  # else how long a step was is not known either
            after_s = times.after_s * (_change(times.step_s, step_s) if same else 1.0)
        elif steps_left >= _FEWEST_LEFT_TO_GUESS:
            after_s = _AFTER_IN_STEPS * step_s
        else:
            return None

        since_s = now - watch.latest_at
        if steps_left:  # a step that takes longer than it should is not done for that
            since_s = min(since_s, step_s)

        return max(0.0, step_s * steps_left + after_s - since_s)

    def _times(self, shape: _Shape) -> _Times | None:
        runs = self._runs.get(shape)
        if runs is not None:
            return _quicker(runs)

        of_model = [other for other in self._runs if other.model == shape.model]
        if not of_model:
            return None

        near = min(of_model, key=lambda other: abs(other.work / shape.work - 1))
        known = _quicker(self._runs[near])

        return _Times(
            before_s=known.before_s,
            step_s=known.step_s * shape.work / near.work,
            after_s=known.after_s * shape.pixels / near.pixels,
            steps_each=known.steps_each,
        )


def _change(before_s: float, now_s: float) -> float:
    """How much slower a step is than it was; 1 for what may be noise.

    Compiled since, throttled, or shared with somebody: then decoding changes as steps do.
    """
    if before_s <= 0:
        return 1.0

    change = now_s / before_s

    return 1.0 if 1 / _OTHER_PACE < change < _OTHER_PACE else change


def _shape(request: ImageRequest) -> _Shape:
    return _Shape(
        request.model,
        request.size,
        len(request.seeds),
        request.guidance_scale > 1,
    )


def _quicker(runs: Sequence[_Times]) -> _Times:
    return _Times(
        before_s=min(run.before_s for run in runs),
        step_s=min(run.step_s for run in runs),
        after_s=min(run.after_s for run in runs),
        steps_each=runs[-1].steps_each,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A worker: seconds until it is free, None while unknown, and whom it serves until then."""

    free_in_s: float | None
    owner: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request in the line: whose it is, and the seconds that it takes on each of the lanes."""

    owner: int
    takes_s: Sequence[float | None]


def line_s(lanes: Sequence[Lane], line: Sequence[Waiting], *, each_runs: int) -> list[float | None]:
    """Seconds until each of a line is finished, when nobody joins it and nothing fails.

    Whichever lane is free takes the next in the order of the line whose owner has fewer than
    `each_runs` at work. None for all from the first of which something is not known.
    """
    finished: list[float | None] = [None] * len(line)
    free = [(lane.free_in_s, n) for n, lane in enumerate(lanes) if lane.free_in_s is not None]
    if len(free) < len(lanes):
        return finished

    heapq.heapify(free)
    serves = [lane.owner for lane in lanes]
    waiting = list(range(len(line)))
    idle: list[int] = []
    now_s = 0.0
    while waiting:
        place = next((p for p in waiting if serves.count(line[p].owner) < each_runs), None)
        if place is not None and idle:
            lane = idle.pop(0)
            takes_s = line[place].takes_s[lane]
            if takes_s is None:
                break

            finished[place] = now_s + takes_s
            heapq.heappush(free, (now_s + takes_s, lane))
            serves[lane] = line[place].owner
            waiting.remove(place)
        elif free:
            now_s, lane = heapq.heappop(free)
            serves[lane] = None
            idle.append(lane)
        else:
            break

    return finished

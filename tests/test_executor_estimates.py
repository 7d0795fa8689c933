"""Estimates of how long requests take, and how they are worded."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.chat.texts import duration
from generation.queue.estimates import Estimates
from generation.queue.waiting_times import WaitingJob, WorkerLoad, finished_in_s
from generation.request import ImageRequest, Size, Variation
from generation.worker.stopwatch import Stopwatch
from tests.support.generation.requests import a_request

FOUR = a_request(steps=50)

FLOOR_S = 1.0
FLOOR_OF_WHOLE = 0.1
"""Nobody minds a second near the end, nor a minute after ten."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """How long a simulated one takes for its parts, in seconds."""

    before_s: float = 0.0
    step_s: float = 0.1
    first_step_s: float | None = None
    after_s: float = 0.0
    pause_s: float = 0.0
    """Between two of the batches."""
    batches: int = 1
    extra_steps: int = 0
    """What PNDM makes more than it was asked for."""

    def quicker(self, factor: float) -> "Device":
        return replace(
            self,
            step_s=self.step_s / factor,
            after_s=self.after_s / factor,
            pause_s=self.pause_s / factor,
            first_step_s=None,
        )

    def times(
        self, request: ImageRequest, noise: Sequence[float] = (1.0,)
    ) -> tuple[list[float], float]:
        """When each step is done, counted from the start, and when the images are there.

        noise: what the steps' times are multiplied with, in turn.
        """
        now, done = self.before_s, []
        steps = (request.steps + self.extra_steps) * self.batches
        for step in range(steps):
            first = step == 0 and self.first_step_s is not None
            step_s = self.first_step_s if first and self.first_step_s else self.step_s
            now += step_s * noise[step % len(noise)]
            done.append(now)
            if (step + 1) % (steps // self.batches) == 0 and step + 1 < steps:
                now += self.pause_s

        return done, now + self.after_s


def learnt(request: ImageRequest, *devices: Device, noise: Sequence[float] = (1.0,)) -> Estimates:
    """The estimates of a worker that has made the request once with each device."""
    estimates = Estimates()
    for device in devices:
        done, finished_at = device.times(request, noise)
        estimates.learn(request, watched(done), finished_at=finished_at)

    return estimates


def watched(done: Sequence[float], *, steps: int | None = None) -> Stopwatch:
    watch = Stopwatch(started_at=0.0)
    for step, at in enumerate(done, start=1):
        watch.lap(step, steps or len(done), now=at)

    return watch


def said_s(phrase: str) -> float | None:
    """The seconds that a sentence names; None for `a few seconds`, which are less than eight."""
    match = re.fullmatch(r"about (an?|\d+)(½?) (second|minute|hour)s?", phrase)
    if match is None:
        assert phrase == "a few seconds"
        return None

    number = 1 if match[1] in ("a", "an") else int(match[1])

    return (number + (0.5 if match[2] else 0)) * {"second": 1, "minute": 60, "hour": 3600}[match[3]]


def test_there_is_no_estimate_before_something_was_measured() -> None:
    assert Estimates().total_s(FOUR) is None
    assert Estimates().remaining_s(FOUR, Stopwatch(started_at=0.0), now=1.0) is None


def test_the_same_request_takes_as_long_again() -> None:
    estimates = learnt(FOUR, Device(before_s=0.5, after_s=1.5))

    assert estimates.total_s(FOUR) == pytest.approx(7.0)
    assert estimates.latest_s == pytest.approx(7.0)


def test_the_steps_that_a_scheduler_adds_are_counted() -> None:
    estimates = learnt(FOUR, Device(after_s=2.0, extra_steps=1))

    assert estimates.total_s(FOUR) == pytest.approx(7.1)
    assert estimates.total_s(replace(FOUR, steps=100)) == pytest.approx(12.2)


def test_a_variation_takes_as_long_as_the_steps_that_its_strength_leaves() -> None:
    estimates = learnt(FOUR, Device(after_s=2.0, extra_steps=1))
    variation = replace(FOUR, variation=Variation(parent_id="a fox", strength=0.6))

    assert estimates.total_s(variation) == pytest.approx(2.0 + 0.6 * 5.1)

    done, finished_at = Device(before_s=0.5, after_s=2.0).times(replace(FOUR, steps=30))
    estimates.learn(variation, watched(done), finished_at=finished_at)

    assert estimates.total_s(variation) == pytest.approx(0.5 + 3.0 + 2.0)
    assert estimates.total_s(FOUR) == pytest.approx(7.1)


@pytest.mark.parametrize(
    ("request_", "seconds"),
    [
        pytest.param(replace(FOUR, steps=100), 0.3 + 10.0 + 2.0, id="twice the steps"),
        pytest.param(replace(FOUR, seeds=(1, 2)), 0.3 + 2.5 + 1.0, id="half the images"),
        pytest.param(replace(FOUR, size=Size(1024, 512)), 0.3 + 10.0 + 4.0, id="twice the pixels"),
        pytest.param(replace(FOUR, guidance_scale=1.0), 0.3 + 2.5 + 2.0, id="no guidance"),
    ],
)
def test_a_request_of_a_new_shape_is_estimated_in_proportion(
    request_: ImageRequest, seconds: float
) -> None:
    estimates = learnt(FOUR, Device(before_s=0.3, after_s=2.0))

    assert estimates.total_s(request_) == pytest.approx(seconds)


def test_a_known_shape_is_estimated_from_its_own_runs() -> None:
    one = replace(FOUR, seeds=(1,))
    estimates = learnt(FOUR, Device(step_s=0.1))
    done, finished_at = Device(step_s=0.09).times(one)  # no quicker: four fitted beside each other
    estimates.learn(one, watched(done), finished_at=finished_at)

    assert estimates.total_s(one) == pytest.approx(4.5)
    assert estimates.total_s(FOUR) == pytest.approx(5.0)


def test_what_comes_after_the_steps_of_a_new_shape_is_in_proportion_to_its_pixels() -> None:
    one = replace(FOUR, seeds=(1,))
    estimates = learnt(FOUR, Device(step_s=0.1, after_s=2.0))
    watch = watched([0.1 * step for step in range(1, 41)], steps=50)  # no quicker than four

    assert estimates.remaining_s(one, watch, now=4.0) == pytest.approx(10 * 0.1 + 0.5)


@pytest.mark.parametrize(
    ("devices", "seconds"),
    [
        pytest.param([Device(step_s=0.5), Device()], 5.0, id="quicker since: compiled"),
        pytest.param([Device(), Device(step_s=0.5)], 5.0, id="slow once: disturbed"),
        pytest.param([Device(), *[Device(step_s=0.5)] * 2], 25.0, id="slow twice: slower"),
        pytest.param([Device(first_step_s=60.0), Device()], 5.0, id="the first after loading"),
    ],
)
def test_the_faster_of_the_last_two_counts(devices: list[Device], seconds: float) -> None:
    assert learnt(FOUR, *devices).total_s(FOUR) == pytest.approx(seconds)


def test_a_running_request_is_estimated_from_its_own_steps() -> None:
    estimates = learnt(FOUR, Device(step_s=0.1, after_s=2.0))
    watch = watched([0.3 * step for step in range(1, 11)], steps=50)

    assert estimates.remaining_s(FOUR, watch, now=3.0) == pytest.approx(40 * 0.3 + 3 * 2.0)
    assert estimates.remaining_s(FOUR, watch, now=3.2) == pytest.approx(40 * 0.3 + 3 * 2.0 - 0.2)


def test_a_step_that_takes_longer_does_not_count_as_done() -> None:
    estimates = learnt(FOUR, Device(step_s=1.0))
    watch = watched([1.0, 2.0, 3.0], steps=50)

    assert estimates.remaining_s(FOUR, watch, now=60.0) == pytest.approx(46.0)


def test_the_very_first_request_has_no_estimate_near_its_end() -> None:
    done, _ = Device(step_s=1.0).times(FOUR)

    estimated = [
        Estimates().remaining_s(FOUR, watched(done[:n], steps=50), now=done[n - 1])
        for n in range(1, 51)
    ]

    assert estimated[0] is None  # the first step says nothing
    assert estimated[1] == pytest.approx(50.0)
    assert estimated[39] == pytest.approx(12.0)
    assert estimated[40:] == [None] * 10


def test_a_request_that_is_split_is_measured_anew() -> None:
    watch = watched([1.0, 2.0, 3.0], steps=50)
    watch.lap(3, 100, now=10.0)  # it did not fit
    assert watch.step_s() is None

    for step in range(4, 11):
        watch.lap(step, 100, now=10.0 + 0.5 * (step - 3))

    assert watch.step_s() == pytest.approx(0.5)


DEVICES = st.builds(
    Device,
    before_s=st.floats(0, 3),
    step_s=st.floats(0.005, 20),
    after_s=st.floats(0, 60),
    extra_steps=st.integers(0, 1),
)
NOISE = st.lists(st.floats(0.95, 1.05), min_size=7, max_size=7)


def assert_honest(
    estimates: Estimates, request: ImageRequest, device: Device, noise: Sequence[float]
) -> None:
    """From the second step on, the estimate is as accurate as `estimates` promises."""
    done, finished_at = device.times(request, noise)
    ends = [*done, finished_at]
    floor_s = max(FLOOR_S, FLOOR_OF_WHOLE * finished_at)
    for count in range(2, len(done) + 1):
        watch = watched(done[:count], steps=len(done))
        for part in (0.0, 0.5, 0.99):  # between this step and the next
            now = ends[count - 1] + part * (ends[count] - ends[count - 1])
            true_s = finished_at - now
            estimate_s = estimates.remaining_s(request, watch, now=now)
            assert estimate_s is not None
            assert abs(estimate_s - true_s) <= max(0.2 * true_s, floor_s), (count, part)


@settings(deadline=None)  # the machine is shared
@given(
    device=DEVICES,
    steps=st.integers(2, 60),
    first=st.floats(1, 20),
    noise=NOISE,
    other_noise=NOISE,
    quicker=st.floats(1.25, 3),
)
def test_the_time_left_is_right_to_a_fifth_from_the_second_step_on(
    device: Device,
    steps: int,
    first: float,
    noise: list[float],
    other_noise: list[float],
    quicker: float,
) -> None:
    request = replace(FOUR, steps=steps)
    cold = replace(device, first_step_s=first * device.step_s)

    estimates = learnt(request, cold, noise=other_noise)

    assert_honest(estimates, request, device, noise)
    # Compiled meanwhile. A single step shows how much faster it is, so noise counts twice.
    assert_honest(estimates, request, device.quicker(quicker), [(1 + part) / 2 for part in noise])


@settings(deadline=None)  # the machine is shared
@given(
    device=DEVICES,
    steps=st.integers(10, 60),
    batches=st.sampled_from([2, 4]),
    pause_part=st.floats(0, 0.12),
)
def test_a_request_that_is_split_into_batches_is_estimated_as_well(
    device: Device, steps: int, batches: int, pause_part: float
) -> None:
    request = replace(FOUR, steps=steps)
    split = replace(device, batches=batches, pause_s=pause_part * steps * device.step_s)

    assert_honest(learnt(request, split), request, split, [1.0])


@settings(deadline=None)  # the machine is shared
@given(
    step_s=st.floats(0.01, 20),
    after_steps=st.floats(0, 5),
    first=st.floats(1, 20),
    steps=st.integers(2, 60),
)
def test_the_estimates_of_the_very_first_request_are_right_to_a_fifth_too(
    step_s: float, after_steps: float, first: float, steps: int
) -> None:
    device = Device(step_s=step_s, first_step_s=first * step_s, after_s=after_steps * step_s)
    request = replace(FOUR, steps=steps)
    done, finished_at = device.times(request)
    for count in range(2, len(done) + 1):
        now = done[count - 1]
        estimate_s = Estimates().remaining_s(
            request, watched(done[:count], steps=len(done)), now=now
        )
        if estimate_s is not None:
            assert estimate_s == pytest.approx(finished_at - now, rel=0.2 + 1e-9)


@given(seconds=st.floats(0, 200_000))
def test_a_time_that_is_said_is_rounded_by_an_eighth_at_most(seconds: float) -> None:
    said = said_s(duration(seconds))

    if said is None:
        assert seconds < 8
    else:
        assert said == pytest.approx(seconds, rel=1 / 8)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "a few seconds"),
        (9, "about 10 seconds"),
        (58, "about a minute"),
        (100, "about 100 seconds"),
        (118, "about 2 minutes"),
        (155, "about 2½ minutes"),
        (600, "about 10 minutes"),
        (7_300, "about 2 hours"),
        (12_600, "about 3½ hours"),
        (86_400, "about 24 hours"),
    ],
)
def test_a_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def worker(
    free_in_s: float | None, owner: int | None = None, *, models: Set[str] = frozenset({"model"})
) -> WorkerLoad:
    return WorkerLoad(free_in_s=free_in_s, owner=owner, models=models, running=None)


def waiting(
    *runs_s: float | None, owner: int = 0, model: str = "model", load_s: float | None = None
) -> WaitingJob:
    return WaitingJob(owner=owner, model=model, load_s=load_s, runs_s=runs_s)


def test_a_queue_is_served_by_whichever_worker_is_free_first() -> None:
    queue = [waiting(2.0, 2.0, owner=number) for number in (1, 2, 3)]

    assert finished_in_s([worker(4.0), worker(1.0)], queue, per_person=1) == [
        3.0,
        5.0,
        6.0,
    ]


def test_each_worker_has_its_own_estimates() -> None:
    queue = [waiting(10.0, 1.0, owner=number) for number in (1, 2, 3)]

    assert finished_in_s([worker(0.0), worker(0.0)], queue, per_person=1) == [
        10.0,
        1.0,
        2.0,
    ]


def test_who_has_one_at_work_waits_for_it_although_a_worker_is_idle() -> None:
    queue = [waiting(3.0, 3.0, owner=1), waiting(3.0, 3.0, owner=2), waiting(3.0, 3.0, owner=1)]

    assert finished_in_s([worker(5.0, owner=1), worker(0.0)], queue, per_person=1) == [
        8.0,
        3.0,
        11.0,
    ]
    assert finished_in_s([worker(5.0, owner=1), worker(0.0)], queue, per_person=2) == [
        3.0,
        6.0,
        8.0,
    ]


def test_loading_a_model_takes_time_once_and_a_job_waits_where_that_is_sooner() -> None:
    queue = [waiting(4.0, 4.0, owner=n, model="other", load_s=20.0) for n in range(8)]
    holder, elsewhere = worker(1.0, models={"model", "other"}), worker(0.0)

    assert finished_in_s([elsewhere], queue[:2], per_person=1) == [24.0, 28.0]
    assert finished_in_s([holder, elsewhere], queue[:2], per_person=1) == [5.0, 9.0]
    assert finished_in_s([holder, elsewhere], queue, per_person=1) == [
        *(5.0, 9.0, 13.0, 17.0, 21.0, 24.0, 25.0, 28.0)
    ]


def test_those_behind_a_job_that_waits_for_its_model_are_served_meanwhile() -> None:
    queue = [waiting(4.0, 4.0, owner=1, model="other", load_s=20.0), waiting(4.0, 4.0, owner=2)]
    holder, elsewhere = worker(1.0, models={"model", "other"}), worker(0.0)

    assert finished_in_s([holder, elsewhere], queue, per_person=1) == [5.0, 4.0]


@pytest.mark.parametrize(
    ("workers", "queue"),
    [([], [waiting()]), ([worker(None)], [waiting(1.0)]), ([worker(0.0)], [waiting(None)])],
    ids=["no worker", "unknown remaining time", "unknown request"],
)
def test_a_queue_with_an_unknown_time_has_no_estimate(
    workers: list[WorkerLoad], queue: list[WaitingJob]
) -> None:
    assert finished_in_s(workers, queue, per_person=1) == [None]

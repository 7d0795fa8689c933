"""What people are told about how long it takes."""

from dataclasses import replace

import pytest

from generation.pace import Pace, Stopwatch, line_s
from generation.request import ImageRequest
from tests.generation_requests import a_request

FOUR = a_request(steps=50)


def a_run(
    request: ImageRequest, *, step_s: float, before_s: float = 0.0, started_at: float = 0.0
) -> Stopwatch:
    """A run that has made all its steps, each in the same time."""
    watch = Stopwatch(started_at=started_at)
    for step in range(1, request.steps + 1):
        watch.lap(step, request.steps, now=started_at + before_s + step * step_s)

    return watch


def learnt(request: ImageRequest, *, step_s: float, after_s: float) -> Pace:
    pace = Pace()
    finished_at = request.steps * step_s + after_s
    pace.learn(request, a_run(request, step_s=step_s), finished_at=finished_at)

    return pace


def test_nothing_is_foretold_before_something_was_measured() -> None:
    assert Pace().whole_s(FOUR) is None
    assert Pace().rest_s(FOUR, Stopwatch(started_at=0.0), now=1.0) is None


def test_the_same_request_takes_as_long_again() -> None:
    pace = learnt(FOUR, step_s=0.1, after_s=2.0)

    assert pace.whole_s(FOUR) == pytest.approx(7.0)
    assert pace.request_s == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("request_", "seconds"),
    [
        pytest.param(replace(FOUR, steps=100), 12.0, id="twice the steps"),
        pytest.param(replace(FOUR, seeds=(1, 2)), 3.5, id="half the images"),
        pytest.param(replace(FOUR, width_px=1024), 14.0, id="twice the pixels"),
    ],
)
def test_another_request_is_foretold_in_proportion(request_: ImageRequest, seconds: float) -> None:
    assert learnt(FOUR, step_s=0.1, after_s=2.0).whole_s(request_) == pytest.approx(seconds)


def test_the_newest_requests_count_most() -> None:
    pace = learnt(FOUR, step_s=0.1, after_s=0.0)
    for _ in range(10):
        pace.learn(FOUR, a_run(FOUR, step_s=0.2), finished_at=10.0)

    assert pace.whole_s(FOUR) == pytest.approx(10.0, rel=0.05)


def test_a_running_request_is_foretold_from_its_own_steps() -> None:
    pace = learnt(FOUR, step_s=0.1, after_s=2.0)
    watch = Stopwatch(started_at=100.0)
    for step in range(1, 11):
        watch.lap(step, 50, now=100.0 + 0.3 * step)

    assert pace.rest_s(FOUR, watch, now=103.0) == pytest.approx(40 * 0.3 + 2.0)
    assert pace.rest_s(FOUR, watch, now=104.0) == pytest.approx(40 * 0.3 + 2.0 - 1.0)
    assert pace.rest_s(FOUR, watch, now=1000.0) == 0.0


def test_a_line_is_served_by_whichever_worker_is_free_first() -> None:
    assert line_s([4.0, 1.0], [2.0, 2.0, 2.0]) == 6.0


@pytest.mark.parametrize(
    ("free_in_s", "ahead_s"),
    [([], [1.0]), ([None], [1.0]), ([0.0], [None])],
    ids=["no worker", "unknown rest", "unknown request"],
)
def test_a_line_of_which_something_is_unknown_is_not_foretold(
    free_in_s: list[float | None], ahead_s: list[float | None]
) -> None:
    assert line_s(free_in_s, ahead_s) is None

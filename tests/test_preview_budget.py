"""Previews cost a fiftieth of a request's time at most, and only slow requests have them."""

from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from generation.worker.preview_budget import EVERY_S, MIN_REMAINING_S, SHARE, PreviewBudget
from generation.worker.stopwatch import Stopwatch


def previews_of(
    budget: PreviewBudget, *, steps: int, step_s: float, cost_s: Callable[[int], float]
) -> tuple[list[float], list[float], float]:
    """When previews began, what each took, and when the steps were done; all in seconds."""
    now = 0.0
    began: list[float] = []
    costs: list[float] = []
    watch = Stopwatch(started_at=now)
    budget.begin(now=now)
    for step in range(1, steps + 1):
        now += step_s
        watch.lap(step, steps, now=now)
        if budget.allows(watch, now=now):
            began.append(now)
            costs.append(cost_s(len(costs)))
            now += costs[-1]
            budget.spend(costs[-1], now=began[-1])

    return began, costs, now


def test_a_slow_request_has_one_every_two_seconds_until_it_is_nearly_done() -> None:
    began, _, ended_at = previews_of(PreviewBudget(), steps=40, step_s=0.5, cost_s=lambda _: 0.01)

    assert len(began) == 7
    assert began[0] == 2.0
    assert all(later - sooner >= EVERY_S for sooner, later in pairwise(began))
    assert ended_at - began[-1] >= MIN_REMAINING_S


def test_a_quick_request_has_none() -> None:
    assert previews_of(PreviewBudget(), steps=50, step_s=0.14, cost_s=lambda _: 0.0)[0] == []


def test_a_costly_preview_comes_less_often() -> None:
    budget = PreviewBudget()
    cheap, _, _ = previews_of(budget, steps=60, step_s=1.0, cost_s=lambda _: 0.01)
    dear, costs, ended_at = previews_of(budget, steps=60, step_s=1.0, cost_s=lambda _: 0.2)

    assert len(cheap) == 27
    assert 3 <= len(dear) <= 6
    assert sum(costs) <= SHARE * ended_at


@settings(deadline=None)
@given(
    steps=st.integers(2, 200),
    step_s=st.floats(0.001, 30),
    cost_s=st.floats(0.0001, 1),
    costs=st.lists(st.floats(0.0001, 1), min_size=1, max_size=20),
)
def test_all_of_a_requests_previews_take_a_fiftieth_of_its_time_at_most(
    steps: int, step_s: float, cost_s: float, costs: list[float]
) -> None:
    budget = PreviewBudget()

    _, taken, ended_at = previews_of(
        budget, steps=steps, step_s=step_s, cost_s=lambda n: costs[n % len(costs)]
    )
    # What the next will cost is known from the last only, so one that is dearer comes on top.
    assert sum(taken) <= SHARE * ended_at + max(costs)

    budget.spend(cost_s, now=0.0)
    _, taken, ended_at = previews_of(budget, steps=steps, step_s=step_s, cost_s=lambda _: cost_s)
    assert sum(taken) <= SHARE * ended_at


def test_after_one_that_failed_there_are_no_more_until_the_next_request() -> None:
    budget = PreviewBudget()
    watch = Stopwatch(started_at=0.0)
    budget.begin(now=0.0)
    watch.lap(1, 100, now=1.0)
    watch.lap(2, 100, now=2.0)
    assert budget.allows(watch, now=2.0)

    budget.give_up()

    assert not budget.allows(watch, now=50.0)
    assert previews_of(budget, steps=100, step_s=1.0, cost_s=lambda _: 0.0)[0]

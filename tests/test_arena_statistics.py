"""What an arena says of its models is true as often as it claims."""

import numpy as np
import pytest

from benchmarks.arena import PAIRS, RATERS, SCENARIOS, VOTES, covered, missed_bars
from storage.estimate.arena import judge, strengths
from storage.journal.arena.values import Judgement
from storage.vote import Choice

ARENAS = 500


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_interval_has_the_true_rate_in_95_of_100_arenas(name: str) -> None:
    figures = {name: covered(SCENARIOS[name], arenas=ARENAS, seed=14)}

    assert missed_bars(figures) == []


def test_an_interval_that_takes_dependent_votes_for_independent_ones_is_too_narrow() -> None:
    found = covered(SCENARIOS["dependent"], arenas=ARENAS, seed=14)

    assert found["plain_wilson_covers"] < 0.9


def test_so_do_the_intervals_of_more_than_two_models() -> None:
    dice = np.random.default_rng(14)
    strength = np.array([0.6, 0.1, -0.7])
    gaps = strength[:, None] - strength[None, :]
    rates = 1 / (1 + np.exp(-gaps))
    true = (rates.sum(axis=1) - 0.5) / 2

    covered = np.zeros(3)
    for _ in range(ARENAS // 5):
        lefts, rights = np.array([[0, 1], [0, 2], [1, 2]])[np.arange(PAIRS * VOTES) // VOTES % 3].T
        who = dice.integers(RATERS, size=len(lefts))
        odds = strength[lefts] - strength[rights]
        wins = (dice.random(len(lefts)) < 1 / (1 + np.exp(-odds))).astype(np.float64)
        pair = np.arange(len(lefts)) // VOTES
        found = strengths(wins, lefts, rights, pair, who, models=3)
        covered += [each.low <= rate <= each.high for each, rate in zip(found, true, strict=True)]

    assert np.abs(covered / (ARENAS // 5) - 0.95).max() <= 0.05


def judged(pair: int, voter: int, choice: Choice, left: str = "a", right: str = "b") -> Judgement:
    return Judgement(pair=str(pair), voter=voter, left_model=left, right_model=right, choice=choice)


def test_ties_count_for_neither_and_sides_are_told_apart() -> None:
    outcome = judge(
        [
            *(judged(pair, pair % 9, Choice.LEFT) for pair in range(6)),
            *(judged(pair, pair % 9, Choice.LEFT, "b", "a") for pair in range(6, 9)),
            judged(9, 0, Choice.TIE),
        ],
        ("a", "b"),
    )

    assert (outcome.votes, outcome.ties, outcome.pairs, outcome.voters) == (10, 1, 10, 9)
    assert [model for model, _ in outcome.win_rates] == ["a", "b"]
    assert [rate.share for _, rate in outcome.win_rates] == pytest.approx([2 / 3, 1 / 3])
    assert outcome.left is not None
    assert outcome.left.share == 1
    assert outcome.left.low > 0.5


def test_votes_that_all_agree_are_not_certain() -> None:
    outcome = judge([judged(pair, pair % 3, Choice.LEFT) for pair in range(6)], ("a", "b"))

    [(_, best), (_, other)] = outcome.win_rates
    assert best.share == 1
    assert best.low < 0.7
    assert (other.low, other.high) == pytest.approx((0, 1 - best.low))


def test_without_a_preference_there_is_no_rate() -> None:
    outcome = judge([judged(0, 0, Choice.TIE)], ("a", "b"))

    assert (outcome.votes, outcome.ties, outcome.left) == (1, 1, None)
    assert list(outcome.win_rates) == []
    assert judge([], ("a", "b")).votes == 0

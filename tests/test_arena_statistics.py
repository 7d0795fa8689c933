"""What an arena says of its models is true as often as it claims."""

import numpy as np
import pytest

from storage.estimate.arena import Numbers, Places, judge, share, strengths
from storage.journal.arena.values import Judgement
from storage.vote import Choice

RATERS, PAIRS, VOTES, TRUE = 30, 100, 3, 0.65
REPETITIONS = 500


def log_odds(rate: float, *, spread: float) -> float:
    """The log odds whose mean rate is this one, where they differ so much between votes."""
    noise = np.random.default_rng(0).normal(0, spread, 200_000)
    candidates = np.linspace(-3, 3, 601)
    rates = [float((1 / (1 + np.exp(-(middle + noise)))).mean()) for middle in candidates[::10]]

    return float(np.interp(rate, rates, candidates[::10]))


def votes(
    dice: np.random.Generator, middle: float, *, of_pairs: float, of_raters: float, busy: bool
) -> tuple[Numbers, Places, Places]:
    """Who wins, on which pair, by which rater. of_pairs, of_raters: how much these differ in log
    odds. busy: whether some raters vote much more than others."""
    activity = dice.pareto(2.0, RATERS) + 0.2 if busy else np.ones(RATERS)
    who = np.argsort(dice.exponential(size=(PAIRS, RATERS)) / activity, axis=1)[:, :VOTES].ravel()
    pair = np.repeat(np.arange(PAIRS), VOTES)
    odds = middle + dice.normal(0, of_pairs, PAIRS)[pair] + dice.normal(0, of_raters, RATERS)[who]
    wins = (dice.random(len(pair)) < 1 / (1 + np.exp(-odds))).astype(np.float64)

    return wins, pair, np.unique(who, return_inverse=True)[1]


@pytest.mark.parametrize(
    ("of_pairs", "of_raters", "busy"),
    [(0.0, 0.0, False), (1.0, 0.5, False), (1.0, 0.5, True)],
    ids=["independent", "dependent", "dependent, and some vote more"],
)
def test_the_interval_has_the_true_rate_in_95_of_100_arenas(
    of_pairs: float, of_raters: float, busy: bool
) -> None:
    dice = np.random.default_rng(14)
    middle = log_odds(TRUE, spread=float(np.hypot(of_pairs, of_raters)))

    covered = 0
    for _ in range(REPETITIONS):
        drawn = votes(dice, middle, of_pairs=of_pairs, of_raters=of_raters, busy=busy)
        found = share(*drawn)
        covered += found.low <= TRUE <= found.high

    assert 0.93 <= covered / REPETITIONS <= 0.97


def test_so_do_the_intervals_of_more_than_two_models() -> None:
    dice = np.random.default_rng(14)
    strength = np.array([0.6, 0.1, -0.7])
    gaps = strength[:, None] - strength[None, :]
    rates = 1 / (1 + np.exp(-gaps))
    true = (rates.sum(axis=1) - 0.5) / 2

    covered = np.zeros(3)
    for _ in range(REPETITIONS // 5):
        lefts, rights = np.array([[0, 1], [0, 2], [1, 2]])[np.arange(PAIRS * VOTES) // VOTES % 3].T
        who = dice.integers(RATERS, size=len(lefts))
        odds = strength[lefts] - strength[rights]
        wins = (dice.random(len(lefts)) < 1 / (1 + np.exp(-odds))).astype(np.float64)
        pair = np.arange(len(lefts)) // VOTES
        found = strengths(wins, lefts, rights, pair, who, models=3)
        covered += [each.low <= rate <= each.high for each, rate in zip(found, true, strict=True)]

    assert np.abs(covered / (REPETITIONS // 5) - 0.95).max() <= 0.05


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

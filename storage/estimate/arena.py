"""What the votes of an arena say of its models: win rates, ties, and whether the side matters.

Votes on one pair are not independent, nor are those of one voter. So the variance is the one that
is robust to clusters of both kinds (Cameron, Gelbach and Miller, "Robust inference with multiway
clustering", Journal of Business & Economic Statistics 29, 2011). A share gets Wilson's interval for
as many independent votes as would be as sure, with Student's t (Franco et al., "Comparative study
of confidence intervals for proportions in complex sample surveys", Journal of Survey Statistics and
Methodology 7, 2019): it stays within 0 and 1, also where all voters agree. Where few voters give
most votes, there are fewer degrees of freedom (Carter, Schnepel and Steigerwald, "Asymptotic
behavior of a t-test robust to cluster heterogeneity", Review of Economics and Statistics 99, 2017).

Of more than two models, the model of Bradley and Terry (1952) has a strength for each, and a win
rate against the others follows from these. It is fitted here, in a few lines, because the intervals
need its scores by pair and by voter: packages of ratings for games, such as OpenSkill, take each
vote for a game of its own, in the order in which they come.

The number of pairs, and of votes on each, is fixed when an arena is opened, so looking at the votes
before does not change what the interval covers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from storage.journal.arena.values import Estimate, Judgement, Outcome
from storage.vote import Choice

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.int64]]

_Z = 1.959964
"""95 % of a normal distribution is within so many standard deviations."""

_ROUNDS = 50
_PRIOR = 0.5
"""Wins of each model against each other one that are added where there are more than two: without
them, a model that never lost would be infinitely strong."""


def judge(judgements: Sequence[Judgement], models: Sequence[str]) -> Outcome:
    """What these votes say."""
    decided = [vote for vote in judgements if vote.choice is not Choice.TIE]
    win_rates: list[tuple[str, Estimate]] = []
    left = None
    if decided:
        pairs = _numbered([vote.pair for vote in decided])
        voters = _numbered([vote.voter for vote in decided])
        left_wins = np.array([vote.choice is Choice.LEFT for vote in decided], np.float64)
        places = {model: place for place, model in enumerate(models)}
        lefts = np.array([places[vote.left_model] for vote in decided])
        rights = np.array([places[vote.right_model] for vote in decided])
        left = share(left_wins, pairs, voters)
        if len(models) == 2:
            first = share(np.where(lefts == 0, left_wins, 1 - left_wins), pairs, voters)
            second = Estimate(1 - first.share, 1 - first.high, 1 - first.low)
            estimates = [first, second]
        else:
            estimates = strengths(left_wins, lefts, rights, pairs, voters, models=len(models))

        win_rates = sorted(zip(models, estimates, strict=True), key=lambda each: -each[1].share)

    return Outcome(
        votes=len(judgements),
        ties=len(judgements) - len(decided),
        pairs=len({vote.pair for vote in judgements}),
        voters=len({vote.voter for vote in judgements}),
        win_rates=win_rates,
        left=left,
    )


def share(wins: Numbers, pairs: Places, voters: Places) -> Estimate:
    """The share of wins, each 0 or 1, with the interval that is robust to clusters.

    pairs, voters: the numbers of each vote's pair and voter, from 0.
    """
    votes = len(wins)
    p = float(wins.mean())
    independent = p * (1 - p) / votes
    variance = max(independent, float(_robust((wins - p)[:, None] / votes, pairs, voters)[0, 0]))
    as_many = votes if variance == 0 else p * (1 - p) / variance
    t = _student(pairs, voters)
    middle = p + t**2 / (2 * as_many)
    width = t * float(np.sqrt(p * (1 - p) / as_many + t**2 / (4 * as_many**2)))
    scale = 1 + t**2 / as_many

    return Estimate(p, max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale))


def strengths(
    left_wins: Numbers,
    lefts: Places,
    rights: Places,
    pairs: Places,
    voters: Places,
    *,
    models: int,
) -> list[Estimate]:
    """The win rate of each model against the others, if each met each as often, by Bradley and
    Terry. lefts, rights: the numbers of the models, from 0."""
    sides = np.zeros((len(left_wins), models))
    sides[np.arange(len(left_wins)), lefts] = 1
    sides[np.arange(len(left_wins)), rights] = -1
    one, other = np.triu_indices(models, 1)
    prior = np.zeros((len(one), models))
    prior[np.arange(len(one)), one] = 1
    prior[np.arange(len(one)), other] = -1

    strength = np.zeros(models)
    for _ in range(_ROUNDS):
        rate, prior_rate = _logistic(sides @ strength), _logistic(prior @ strength)
        gradient = sides.T @ (left_wins - rate) + 2 * _PRIOR * prior.T @ (0.5 - prior_rate)
        curvature = (sides.T * (rate * (1 - rate))) @ sides
        curvature += 2 * _PRIOR * (prior.T * (prior_rate * (1 - prior_rate))) @ prior
        step = np.linalg.pinv(curvature) @ gradient  # strengths are known but for a constant
        strength += step
        if np.abs(step).max() < 1e-9:
            break

    inverse = np.linalg.pinv(curvature)
    scores = sides * (left_wins - rate)[:, None]
    covariance = inverse @ _robust(scores, pairs, voters) @ inverse
    t = _student(pairs, voters)
    estimates = []
    for model in range(models):
        others = np.delete(np.arange(models), model)
        rates = _logistic(strength[model] - strength[others])
        mean = float(rates.mean())
        slope = np.zeros(models)
        slope[others] = -rates * (1 - rates) / len(others)
        slope[model] = -slope.sum()
        error = np.sqrt(max(slope @ covariance @ slope, slope @ inverse @ slope))
        # On the scale of log odds, so that it stays within 0 and 1.
        odds, width = np.log(mean / (1 - mean)), t * error / (mean * (1 - mean))
        estimates.append(
            Estimate(mean, float(_logistic(odds - width)), float(_logistic(odds + width)))
        )

    return estimates


def _robust(scores: Numbers, pairs: Places, voters: Places) -> Numbers:
    """The covariance of the sum of the scores, robust to both kinds of clusters: each vote is the
    only one of its voter on its pair, so what the two have in common are single votes."""
    single = np.arange(len(scores))

    return _clustered(scores, pairs) + _clustered(scores, voters) - _clustered(scores, single)


def _clustered(scores: Numbers, clusters: Places) -> Numbers:
    number = int(clusters.max()) + 1
    sums = np.stack([np.bincount(clusters, column, number) for column in scores.T], axis=1)

    return np.asarray(sums.T @ sums * (number / max(1, number - 1)), np.float64)


def _student(pairs: Places, voters: Places) -> float:
    """Student's t for 95 %, by its expansion (Abramowitz and Stegun 26.7.5), and one degree of
    freedom fewer than there are clusters of the rarer kind. Where few voters gave most votes, these
    are fewer than there are voters: as many of equal size as would be as uneven together."""
    freedom = max(2.0, min(_of_equal_size(pairs), _of_equal_size(voters)) - 1)
    z = _Z
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )

    return float(sum(term / freedom**power for power, term in enumerate(terms)))


def _of_equal_size(clusters: Places) -> float:
    sizes = np.bincount(clusters)

    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _logistic(odds: Numbers) -> Numbers:
    rate: Numbers = 1 / (1 + np.exp(-odds))

    return rate


def _numbered(things: Sequence[object]) -> Places:
    _, numbers = np.unique(np.array(things), return_inverse=True)

    return numbers

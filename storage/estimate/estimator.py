"""What each image probably is, and how reliable each voter is, from the votes alone.

Dawid and Skene's model (1979) with two coins a voter, as Raykar et al. (2010) have it: one for how
often a voter calls a good image good, one for how often they call a bad one bad. A Beta prior keeps
voters with few votes near the middle. crowd-kit has the model without a prior, which keeps far
fewer labels at the same share of right ones; hence these lines.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storage.journal.standing.figures import Reliability

Reals = NDArray[np.float64]
Wholes = NDArray[np.int64]

# Before their first vote, a voter is right two times out of three, as if six had been seen.
_RIGHT, _WRONG = 4.0, 2.0

# Steps of an estimate, at most, and of one that only refines the last: fewer than one vote in
# so many has changed.
_SWEEPS = 100
_MORE_SWEEPS = 5
_FEW = 10
_SETTLED = 1e-4

# The answer to a gold image is known, but for the odd mistake of a moderator.
_KNOWN = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known besides the votes. gold: whether these images are good, by number.

    changed: how often each voter, by number, answered a repeated question differently. One of two
    different answers is wrong, so each counts as half a right and half a wrong vote.
    """

    gold: Mapping[int, bool] = field(default_factory=dict)
    changed: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """By the numbers of images and voters. good: the probability that the image is.

    raters: how many voted on it. good_as_good, bad_as_bad: how often a voter calls them so.
    votes: how many each voter cast.
    """

    good: Reals
    raters: Wholes
    good_as_good: Reals
    bad_as_bad: Reals
    votes: Wholes

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each image is more likely good than bad."""
        return self.good > 0.5

    @property
    def certainties(self) -> Reals:
        """The probability that each label is right, from 0.5 to 1."""
        return np.maximum(self.good, 1 - self.good)

    @property
    def voters(self) -> list[Reliability]:
        """What each voter is like; the estimate already weighs their votes so."""
        of_voters = zip(
            self.good_as_good.tolist(), self.bad_as_bad.tolist(), self.votes.tolist(), strict=True
        )

        return [
            Reliability(good_as_good=good, bad_as_bad=bad, votes=votes)
            for good, bad, votes in of_voters
        ]


class Estimator:
    """Votes, and the estimate that they lead to. New votes refine the last estimate, which is fast:
    with a million votes, a hundred more take well under a second."""

    def __init__(self, evidence: Evidence | None = None) -> None:
        self.evidence = evidence or Evidence()
        self._image: Wholes = np.empty(0, np.int64)
        self._voter: Wholes = np.empty(0, np.int64)
        self._good: Reals = np.empty(0)
        self._probability: Reals = np.empty(0)
        self._new = 0

    def add(self, images: ArrayLike, voters: ArrayLike, good: ArrayLike) -> None:
        """More votes, good ones as 1. Images and voters have numbers from 0 without gaps."""
        self._image = np.concatenate([self._image, np.asarray(images, np.int64)])
        self._voter = np.concatenate([self._voter, np.asarray(voters, np.int64)])
        self._good = np.concatenate([self._good, np.asarray(good, np.float64)])
        self._new += np.size(good)

    def drop(self, which: NDArray[np.bool_]) -> None:
        """Without these votes: true or false for each, in the order in which they were added."""
        self._image = self._image[~which]
        self._voter = self._voter[~which]
        self._good = self._good[~which]
        self._new += int(which.sum())

    def estimate(self) -> Estimate:
        """The estimate: from the last one on, unless much has changed since."""
        images = max(len(self._probability), int(self._image.max(initial=-1)) + 1)
        only_refines = self._new * _FEW < len(self._image)
        probability = self._beginning(images, with_last=only_refines)
        for _ in range(_MORE_SWEEPS if only_refines else _SWEEPS):
            voters = self._voters(probability)
            before, probability = probability, self._images(probability, voters)
            if np.abs(probability - before).max(initial=0) < _SETTLED:
                break

        self._probability, self._new = probability, 0
        good_as_good, bad_as_bad, votes = self._voters(probability)

        return Estimate(
            good=probability,
            raters=np.bincount(self._image, minlength=images),
            good_as_good=good_as_good,
            bad_as_bad=bad_as_bad,
            votes=votes,
        )

    def _beginning(self, images: int, *, with_last: bool) -> Reals:
        """For each image the last estimate, or the share of good votes."""
        good = np.bincount(self._image, self._good, images)
        share = (good + 1) / (np.bincount(self._image, minlength=images) + 2)
        if with_last:
            share[: len(self._probability)] = self._probability

        return self._with_gold(share)

    def _voters(self, probability: Reals) -> tuple[Reals, Reals, Wholes]:
        """What the voters are like, if the images are as probable as this."""
        of_vote = probability[self._image]
        cast = np.bincount(self._voter)
        said_good = np.bincount(self._voter, self._good)
        are_good = np.bincount(self._voter, of_vote)
        hit = np.bincount(self._voter, of_vote * self._good)
        doubt = np.zeros(len(cast))
        for voter, times in self.evidence.changed.items():
            doubt[voter] = times / 2

        prior = _RIGHT + _WRONG + 2 * doubt
        refused = cast - said_good - (are_good - hit)

        return (
            (hit + _RIGHT + doubt) / (are_good + prior),
            (refused + _RIGHT + doubt) / (cast - are_good + prior),
            cast,
        )

    def _images(self, probability: Reals, voters: tuple[Reals, Reals, Wholes]) -> Reals:
        """What the images probably are, if the voters are like this."""
        good_as_good, bad_as_bad, _ = voters
        for_good = np.log(good_as_good / (1 - bad_as_bad))[self._voter]
        for_bad = np.log((1 - good_as_good) / bad_as_bad)[self._voter]
        said = np.where(self._good > 0, for_good, for_bad)
        share = (probability.sum() + 1) / (len(probability) + 2)
        odds = np.bincount(self._image, said, len(probability)) + np.log(share / (1 - share))

        return self._with_gold(1 / (1 + np.exp(-np.clip(odds, -500, 500))))

    def _with_gold(self, probability: Reals) -> Reals:
        for image, good in self.evidence.gold.items():
            probability[image] = _KNOWN if good else 1 - _KNOWN

        return probability

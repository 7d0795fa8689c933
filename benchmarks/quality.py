"""How many labels can be kept at 95 % right, with simulated voters who are known.

    python -m benchmarks.quality --check
    python -m benchmarks.quality --method majority --check

200 voters cast 10,000 votes. A fifth are adversaries: always good, at random, or the contrary of
what they think. The honest ones are right as often as the scenario says, on average. Labels are
sorted by certainty; kept is the largest share of them of which 95 % are right. Beside it is what an
oracle keeps that knows how often each voter is right. `--method majority` counts votes, and fails:
it is the control. Then it times a hundred new votes on a million: of the estimate alone, and as
`/leaderboard` has it from the journal, where each image has one vote. Prints JSON.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.facts import run
from benchmarks.support.many_votes import MADE_AT, SERVER, VOTER, fill_journal, image_id
from storage.dataset.changes import open_for_reading
from storage.estimate.estimator import Estimator
from storage.estimate.live import LiveEstimate
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import Journal
from storage.vote import Rating

VOTERS = 200
VOTES = 10_000
ADVERSARIES = 40
RIGHT = 0.95

# Honest voters differ: this is the standard deviation of how often they are right. With it, and
# with how unequal images are below, the oracle keeps 97, 90, 68 and 69 %.
_VOTERS_DIFFER = 0.09

MOST_HONEST_LOST = 0.05
MOST_UPDATE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """right: how often the honest are, on average. unequal: by how much images differ in
    difficulty, in log-odds. must_keep: the bar."""

    right: float
    raters: int
    unequal: float
    must_keep: float


SCENARIOS = {
    "72 % right, 10 an image": Scenario(right=0.72, raters=10, unequal=0, must_keep=0.90),
    "78 % right, 5 an image": Scenario(right=0.78, raters=5, unequal=0, must_keep=0.80),
    "72 % right, 5 an image": Scenario(right=0.72, raters=5, unequal=0, must_keep=0.45),
    "72 % right, 10 an image, unequal": Scenario(
        right=0.72, raters=10, unequal=0.88, must_keep=0.55
    ),
}

Bools = NDArray[np.bool_]
Reals = NDArray[np.float64]
Wholes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Votes whose truth is known. kinds: 0 for honest voters. chances: of a voter's being right."""

    truth: Bools
    kinds: Wholes
    chances: Reals
    image: Wholes
    voter: Wholes
    good: Bools


def simulate(scenario: Scenario, *, seed: int) -> Simulated:
    """Votes of honest voters and adversaries."""
    chance = np.random.default_rng(seed)
    images = VOTES // scenario.raters
    truth = chance.random(images) < 0.5
    kinds = np.zeros(VOTERS, np.int64)
    kinds[:ADVERSARIES] = 1 + np.arange(ADVERSARIES) % 3
    spread = scenario.right * (1 - scenario.right) / _VOTERS_DIFFER**2 - 1
    chances = chance.beta(scenario.right * spread, (1 - scenario.right) * spread, VOTERS)
    image = np.repeat(np.arange(images), scenario.raters)
    voter = np.concatenate(
        [chance.choice(VOTERS, scenario.raters, replace=False) for _ in range(images)]
    )
    odds = np.log(chances / (1 - chances))[voter]
    odds += chance.normal(0, scenario.unequal, images)[image]
    is_right = chance.random(VOTES) < _with_mean(odds, scenario.right)
    thought = np.where(is_right, truth[image], ~truth[image])
    by_kind = [thought, np.ones(VOTES, bool), chance.random(VOTES) < 0.5, ~thought]

    return Simulated(
        truth=truth,
        kinds=kinds,
        chances=chances,
        image=image,
        voter=voter,
        good=np.choose(kinds[voter], by_kind).astype(bool),
    )


def kept(probability: Reals, truth: Bools) -> float:
    """The largest share of the labels, the most certain first, of which enough are right."""
    order = np.argsort(-np.abs(probability - 0.5), kind="stable")
    right = np.cumsum(((probability > 0.5) == truth)[order]) / np.arange(1, len(truth) + 1)
    enough = np.flatnonzero(right >= RIGHT)

    return float((enough[-1] + 1) / len(truth)) if len(enough) else 0.0


def oracle(made: Simulated) -> Reals:
    """What the images probably are for somebody who knows every voter."""
    odds = np.log(made.chances / (1 - made.chances))[made.voter]
    weight = np.choose(made.kinds[made.voter], [odds, 0 * odds, 0 * odds, -odds])
    total = np.bincount(made.image, np.where(made.good, weight, -weight), len(made.truth))

    return np.asarray(1 / (1 + np.exp(-total)))


def figures(scenario: Scenario, *, method: str, seeds: int) -> dict[str, Any]:
    """What is kept, on average over the seeds, and which voters are found to be of no use."""
    found: dict[str, list[float]] = {"kept": [], "oracle": [], "honest_lost": [], "caught": []}
    for seed in range(seeds):
        made = simulate(scenario, seed=seed)
        estimator = Estimator()
        estimator.add(made.image, made.voter, made.good)
        estimate = estimator.estimate()
        share = np.bincount(made.image, made.good) / scenario.raters
        found["kept"].append(kept(share if method == "majority" else estimate.good, made.truth))
        found["oracle"].append(kept(oracle(made), made.truth))
        of_no_use = np.array([voter.of_no_use for voter in estimate.voters])
        found["honest_lost"].append(float(of_no_use[made.kinds == 0].mean()))
        found["caught"].append(float(of_no_use[made.kinds > 0].mean()))

    return {name: round(float(np.mean(values)), 3) for name, values in found.items()}


def update_s(votes: int) -> dict[str, float]:
    """Processor seconds of a hundred new votes on so many, and of the first estimate."""
    chance = np.random.default_rng(1)
    images, voters = max(1, votes // 5), max(2, votes // 500)
    truth, right = chance.random(images) < 0.5, chance.beta(15, 6, voters)

    def cast(number: int) -> tuple[Any, Any, Any]:
        image, voter = chance.integers(images, size=number), chance.integers(voters, size=number)
        is_right = chance.random(number) < right[voter]

        return image, voter, np.where(is_right, truth[image], ~truth[image])

    estimator = Estimator()
    estimator.add([images - 1], [voters - 1], [True])
    estimator.add(*cast(votes))
    began = time.process_time()
    estimator.estimate()
    first = time.process_time()
    estimator.add(*cast(100))
    estimator.estimate()

    return {
        "first_s": round(first - began, 2),
        "hundred_more_s": round(time.process_time() - first, 2),
    }


def live_s(data: DataFolder, votes: int) -> dict[str, float]:
    """The same, from a journal with so many votes."""
    fill_journal(data, votes=votes)
    live = LiveEstimate(SERVER)
    figures = {}
    for name in ("first_s", "hundred_more_s"):
        with open_for_reading(data.journal) as journal:
            began = time.process_time()
            live.follow(journal)
            figures[name] = round(time.process_time() - began, 2)

        with JournalFile.open(data.journal) as file, file.transaction():
            for number in range(min(100, votes)):
                Journal(file.connection).vote(image_id(number), VOTER + 1, Rating.BAD, now=MADE_AT)

    return figures


def missed_bars(result: Mapping[str, Any]) -> list[str]:
    """The figures that miss their bars."""
    missed = []
    for name, found in result["scenarios"].items():
        if found["kept"] < SCENARIOS[name].must_keep:
            missed.append(f"{name}: {found['kept']} kept, not {SCENARIOS[name].must_keep}")

        if found["honest_lost"] >= MOST_HONEST_LOST:
            missed.append(f"{name}: {found['honest_lost']} of the honest voters are of no use")

    slow = [name for name in ("update", "live") if result[name]["hundred_more_s"] > MOST_UPDATE_S]

    return missed + [f"{name}: {result[name]['hundred_more_s']} s for a hundred" for name in slow]


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All scenarios and the update."""
    result = {
        "scenarios": {
            name: figures(scenario, method=options.method, seeds=options.seeds)
            for name, scenario in SCENARIOS.items()
        },
        "update": update_s(options.votes),
        "live": live_s(DataFolder(folder / "data"), options.votes),
    }

    return {**result, "missed": missed_bars(result)}


def _with_mean(odds: Reals, mean: float) -> Reals:
    """Probabilities with this mean, by a shift of all log-odds."""
    low, high = -5.0, 5.0
    for _ in range(50):
        shift = (low + high) / 2
        if (1 / (1 + np.exp(-(odds + shift)))).mean() < mean:
            low = shift
        else:
            high = shift

    return np.asarray(1 / (1 + np.exp(-(odds + low))))


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.quality")
    parser.add_argument("--method", choices=["estimate", "majority"], default="estimate")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--votes", type=int, default=1_000_000, help="for the update")
    parser.add_argument("--check", action="store_true", help="exit status 1 beside a bar")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("quality", parsed(), measure)


if __name__ == "__main__":
    main()

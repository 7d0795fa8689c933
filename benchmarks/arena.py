"""How often the intervals of an arena's result have the true rate, beside Wilson's for the same
votes as if none depended on another.

    python -m benchmarks.arena --check

Simulated: 30 raters, 100 pairs with 3 votes each, a true rate of 65 %. Prints JSON.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.facts import run
from storage.estimate.arena import Numbers, Places, share
from storage.quality.agreement import interval

RATERS, PAIRS, VOTES, TRUE = 30, 100, 3, 0.65
COVERS = (0.93, 0.97)


@dataclass(frozen=True, slots=True)
class Scenario:
    """of_pairs, of_raters: how much these differ in log odds (standard deviations). busy: whether
    some raters vote much more than others (Pareto)."""

    of_pairs: float
    of_raters: float
    busy: bool

    @property
    def middle(self) -> float:
        """The log odds whose mean rate is the true one, where they differ so much."""
        noise = np.random.default_rng(0).normal(0, np.hypot(self.of_pairs, self.of_raters), 200_000)
        candidates = np.linspace(-3, 3, 61)
        rates = [float((1 / (1 + np.exp(-(middle + noise)))).mean()) for middle in candidates]

        return float(np.interp(TRUE, rates, candidates))

    def votes(self, dice: np.random.Generator, middle: float) -> tuple[Numbers, Places, Places]:
        """Who wins, on which pair, by which rater."""
        activity = dice.pareto(2.0, RATERS) + 0.2 if self.busy else np.ones(RATERS)
        turns = dice.exponential(size=(PAIRS, RATERS)) / activity
        who = np.argsort(turns, axis=1)[:, :VOTES].ravel()
        pair = np.repeat(np.arange(PAIRS), VOTES)
        of_pair = dice.normal(0, self.of_pairs, PAIRS)[pair]
        of_rater = dice.normal(0, self.of_raters, RATERS)[who]
        rates = 1 / (1 + np.exp(-(middle + of_pair + of_rater)))
        wins = (dice.random(len(pair)) < rates).astype(np.float64)

        return wins, pair, np.unique(who, return_inverse=True)[1]


SCENARIOS = {
    "independent": Scenario(0.0, 0.0, False),
    "dependent": Scenario(1.0, 0.5, False),
    "dependent, and some raters vote more": Scenario(1.0, 0.5, True),
}


def covered(scenario: Scenario, *, arenas: int, seed: int) -> dict[str, float]:
    """In which share of simulated arenas the intervals have the true rate, and how wide ours is."""
    dice, middle = np.random.default_rng(seed), scenario.middle
    ours, plain, width = 0, 0, 0.0
    for _ in range(arenas):
        wins, pairs, raters = scenario.votes(dice, middle)
        found = share(wins, pairs, raters)
        low, high = interval(int(wins.sum()), len(wins))
        ours += found.low <= TRUE <= found.high
        plain += low <= TRUE <= high
        width += found.high - found.low

    return {
        "covers": round(ours / arenas, 3),
        "plain_wilson_covers": round(plain / arenas, 3),
        "half_width": round(width / arenas / 2, 3),
    }


def missed_bars(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What is beside its bar."""
    return [
        f"{name}: {found['covers']:.1%} are covered"
        for name, found in figures.items()
        if not COVERS[0] <= found["covers"] <= COVERS[1]
    ]


async def measure(_folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All scenarios."""
    figures = {
        name: covered(scenario, arenas=options.arenas, seed=options.seed)
        for name, scenario in SCENARIOS.items()
    }

    return {"scenarios": figures, "missed": missed_bars(figures)}


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.arena")
    parser.add_argument("--arenas", type=int, default=500)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--check", action="store_true", help="exit status 1 beside a bar")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("arena", parsed(), measure)


if __name__ == "__main__":
    main()

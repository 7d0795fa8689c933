"""What is to be tuned and how: plain values, kept in the work folder so that a run can go on.

Imports no model library: the command line makes a job, the training's processes read it.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from generation.atomic_write import atomic_write

LEAST_VOTES = 200
"""Fewer are refused. 240 were tried, a quarter of them wrong: docs/measurements.md, *Tuning*."""

PAIRS = "hpsv3"
"""The target of `oxherd export` whose files are learned from: in `train.json` a row names the files
of the better and the worse image, and their prompt."""

REFUSED = 3
"""How a process of a run exits that has said why it cannot go on."""

NO_FIDELITY = "none"
EDGES = "edges"


class TuningFailed(Exception):
    """The model was not tuned; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the LoRA is learned; None takes what suits the size of the model.

    batch: pairs in a step. at_once: of these, how many a device takes together; it changes memory
        and time, and the result only by rounding.
    rank: of the LoRA. beta: how near the model stays to the base; more is nearer.
    least_noise: where in the noise schedule the learned timesteps begin, from 0 (all of them) to 1.
    """

    method: str = "dpo"
    steps: int | None = None
    batch: int | None = None
    at_once: int | None = None
    rank: int = 8
    learning_rate: float | None = None
    beta: float | None = None
    least_noise: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """votes: which votes were asked for. The command line compares them when a run goes on.

    base, revision: the model that is tuned: a name on the hub with its revision, or a folder.
    fidelity: what watches that prompts keep their meaning: EDGES, an image-text model, NO_FIDELITY,
        or None for EDGES if the base ships with oxherd, and nothing otherwise.
    """

    votes: dict[str, Any]
    base: str
    revision: str | None
    allow_pickles: bool
    fidelity: str | None
    recipe: Recipe

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return asdict(self)

    def differences(self, other: Self) -> list[str]:
        """What the two differ in."""
        one, another = (_flat(json.loads(json.dumps(job.to_json()))) for job in (self, other))

        return [name for name in one if one[name] != another.get(name)]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        return cls(**{**values, "recipe": Recipe(**values["recipe"])})


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """The values, those of the objects among them included."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, dict) else {name: value}

    return flat


@dataclass(frozen=True, slots=True)
class Work:
    """The folder beside `out` that holds a run until it is complete."""

    out: Path

    @property
    def folder(self) -> Path:
        return self.out.with_name(f"{self.out.name}.tuning")

    @property
    def votes(self) -> Path:
        """An export: the pairs and their images."""
        return self.folder / "votes"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def finished(self) -> Path:
        """What becomes `out`."""
        return self.folder / "finished"

    @property
    def _job(self) -> Path:
        return self.folder / "job.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Only one process may work here. Raises TuningFailed for a second one, or OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TuningFailed(f"Another tuning is at work on {self.out}.") from None

            try:
                yield
            finally:
                if not self._job.exists():  # nothing to go on with
                    self.discard()

    def clear(self) -> None:
        """Delete what a run left that was interrupted before it began to learn."""
        for left in (self.votes, self.votes.with_name(f"{self.votes.name}.part")):
            shutil.rmtree(left, ignore_errors=True)

    def discard(self) -> None:
        """Delete what a run needed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def job(self) -> Job | None:
        """The job of the run that is under way; None if there is none."""
        try:
            return Job.from_json(json.loads(self._job.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def begin(self, job: Job) -> None:
        """From now on a run is under way. Its votes are in place."""
        with atomic_write(self._job) as unfinished:
            unfinished.write_text(json.dumps(job.to_json(), indent=2) + "\n", encoding="utf-8")

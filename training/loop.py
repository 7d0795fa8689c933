"""A training loop that resumes after an interruption as if there had been none.

Random numbers come from generators seeded with the step's number, and a checkpoint has the weights
and the optimizer's state.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from generation.atomic_write import atomic_write
from training.workers import share_gradients, this_worker, wait_for_all, workers

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """average: the decay of the moving average of the weights, which is the result."""

    steps: int
    learning_rate: float
    warm_up: int
    weight_decay: float
    average: float
    final_fraction: float = 0.02
    checkpoint_every: int = 300

    def rate(self, step: int) -> float:
        """Linear warm-up, then cosine decay."""
        fallen = (1 + math.cos(math.pi * step / self.steps)) / 2
        left = self.final_fraction + (1 - self.final_fraction) * fallen

        return self.learning_rate * min(1.0, (step + 1) / self.warm_up) * left

    def kept(self, step: int) -> float:
        """The decay of the moving average at this step: low at first."""
        return min(self.average, (step + 1) / (step + 20))


def train(
    model: torch.nn.Module,
    loss_at: Callable[[int], torch.Tensor],
    schedule: Schedule,
    checkpoint: Path,
    *,
    title: str,
    shares: Mapping[str, float] = MappingProxyType({}),
) -> Weights:
    """Train, from the checkpoint if there is one. Returns the averaged weights.

    loss_at: the loss of the part of a batch with this number, from 0. A step takes one part per
        worker.
    shares: the share of the learning rate for parameters whose names contain the key; the last
        match counts.
    """
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        _groups(model, shares),
        schedule.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    averaged = {name: value.clone() for name, value in model.state_dict().items()}
    begin = 0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(kept["model"])
        averaged, begin = kept["averaged"], kept["step"]
        if begin < schedule.steps:
            optimizer.load_state_dict(kept["optimizer"])

        wait_for_all()  # or one could write it while another reads

    with _progress(title, begin, schedule.steps) as tell:
        for step in range(begin, schedule.steps):
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * schedule.rate(step)

            loss = loss_at(step * workers() + this_worker())
            loss.backward()
            share_gradients(parameters)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            _average(averaged, model, schedule.kept(step))
            tell(loss.item())
            is_checkpoint = (step + 1) % schedule.checkpoint_every == 0
            if this_worker() == 0 and (is_checkpoint or step + 1 == schedule.steps):
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "averaged": averaged,
                    "step": step + 1,
                }
                _write(state, checkpoint)

    return averaged


def load_if_fitting(model: torch.nn.Module, weights: Weights | None) -> bool:
    """Load them unless there are none, or a name or a shape differs."""
    own = model.state_dict()
    if weights is None or own.keys() != weights.keys():
        return False

    if any(own[name].shape != value.shape for name, value in weights.items()):
        return False

    model.load_state_dict(weights)

    return True


def _groups(model: torch.nn.Module, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """The optimizer's parameter groups, one for each share of the learning rate."""
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        fitting = [share for part, share in shares.items() if part in name]
        groups.setdefault(fitting[-1] if fitting else 1.0, []).append(parameter)

    return [{"params": members, "share": share} for share, members in groups.items()]


def _average(averaged: Weights, model: torch.nn.Module, kept: float) -> None:
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averaged[name].lerp_(value, 1 - kept)
            else:
                averaged[name].copy_(value)


def _write(state: object, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as unfinished:
        torch.save(state, unfinished)


@contextmanager
def _progress(title: str, begin: int, steps: int) -> Iterator[Callable[[float], None]]:
    columns = (
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=this_worker() > 0) as bar:
        task = bar.add_task(title, total=steps, completed=begin, loss=float("nan"))
        mean = None

        def tell(loss: float) -> None:
            nonlocal mean
            mean = loss if mean is None else 0.98 * mean + 0.02 * loss
            bar.update(task, advance=1, loss=mean)

        yield tell

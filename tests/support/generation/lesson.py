"""Something small to learn, for the tests of how training is spread over processes."""

from collections.abc import Callable
from pathlib import Path

import torch

from training.loop import Schedule, train

SCHEDULE = Schedule(
    steps=9, learning_rate=0.1, warm_up=2, weight_decay=0.1, average=0.9, checkpoint_every=3
)


def a_model() -> torch.nn.ModuleDict:
    torch.manual_seed(0)

    return torch.nn.ModuleDict({"one": torch.nn.Linear(3, 3)})


def loss_of(model: torch.nn.ModuleDict) -> Callable[[int], torch.Tensor]:
    """The loss of the part of a batch with a number."""

    def loss_at(part: int) -> torch.Tensor:
        inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(part))

        loss: torch.Tensor = (model["one"](inputs) - inputs.flip(1)).pow(2).mean()

        return loss

    return loss_at


def learn(folder: Path) -> None:
    """What a worker does: learn, and write what came of it under its number."""
    model = a_model()
    learnt = train(model, loss_of(model), SCHEDULE, folder / "checkpoint.pt", title="lesson")
    torch.save(learnt, folder / f"worker-{torch.distributed.get_rank()}.pt")


def fail(folder: Path) -> None:
    """What a worker does that has no memory left, say."""
    if torch.distributed.get_rank() == 1:
        raise MemoryError

    learn(folder)

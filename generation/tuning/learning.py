"""The training loop. It goes on after an interruption as if there had been none.

All that is random comes from generators that are seeded with the step's number, and the checkpoint,
which is replaced as a whole, has the LoRA and the optimizer's state.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, DiffusionPipeline

from generation.atomic_write import atomic_write
from generation.tuning.adapter import Adapter, Weights
from generation.tuning.dpo import Noise, Rows, dpo_loss, draw_noise, errors
from generation.tuning.fidelity import MOST_LOST, Look, Watch
from generation.tuning.job import TuningFailed
from generation.tuning.preferences import Encoded, Pair, draw
from generation.tuning.progress import Tell

LOOKS = 10
"""How often fidelity is looked at, the last step included."""

_CHECKPOINTS = 20
_WARM_UP = 0.1
_LARGEST_GRADIENT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A recipe in which nothing is left open; see Recipe."""

    method: str
    steps: int
    batch: int
    at_once: int
    rank: int
    learning_rate: float
    beta: float
    least_noise: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """The LoRA after `step` steps, and what was seen of its fidelity. looks[0]: the base's."""

    weights: Weights
    step: int
    looks: Sequence[Look]


class Learning:
    """Learns from the pairs. watch: None if nothing watches fidelity."""

    def __init__(
        self,
        settings: Settings,
        pairs: Sequence[Pair],
        encoded: Encoded,
        pipeline: DiffusionPipeline,
        adapter: Adapter,
        accelerator: Accelerator,
        *,
        watch: Watch | None,
        checkpoint: Path,
        tell: Tell,
    ) -> None:
        self._settings = settings
        self._pairs = pairs
        self._encoded = encoded
        self._schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
        times = int(self._schedule.config.num_train_timesteps)
        self._times = range(int(settings.least_noise * times), times)
        self._adapter = adapter
        self._accelerator = accelerator
        self._watch = watch
        self._checkpoint = checkpoint
        self._tell = tell
        optimizer = torch.optim.AdamW(
            adapter.parameters(), settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self._unet, self._optimizer = accelerator.prepare(pipeline.unet, optimizer)

    def learn(self) -> Learnt:
        """Raises TuningFailed if the first look finds that too much fidelity is lost."""
        step, looks, kept = self._resumed()
        if self._watch is not None and not looks:
            looks = [Look(0, self._watch.before)]

        total = self._settings.steps
        save_every, look_every = _nth(total, _CHECKPOINTS), _nth(total, LOOKS)
        while step < total:
            self._tell("tuning", step, total)
            self._step(step)
            step += 1
            if step % look_every == 0 or step == total:
                if self._watch is not None:
                    looks = [*looks, Look(step, self._watch.look())]
                    if looks[0].points - looks[-1].points > MOST_LOST:
                        break

                kept = Learnt(weights=self._adapter.weights(), step=step, looks=looks)

            if step % save_every == 0:
                self._save(step, looks, kept)

        if kept is None:
            raise TuningFailed(
                f"After {looks[-1].step} of {total} steps the model had lost "
                f"{looks[0].points - looks[-1].points:.1f} points of fidelity, and more than "
                f"{MOST_LOST:g} are not accepted. Nothing was written. Lower --learning-rate, or "
                "raise --beta."
            )

        return Learnt(weights=kept.weights, step=kept.step, looks=looks)

    def _step(self, step: int) -> None:
        settings = self._settings
        warmed_up = min(1.0, (step + 1) / (_WARM_UP * settings.steps))
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate * warmed_up

        pairs = draw(self._pairs, settings.batch, seed=settings.seed, step=step)
        rows = self._encoded.rows(pairs)
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        noise = draw_noise(rows.latents, self._times, generator)
        mine = _shares(len(pairs), self._accelerator.num_processes)[self._accelerator.process_index]
        parts = mine.split(settings.at_once)
        for number, part in enumerate(parts, 1):
            is_last = number == len(parts)
            with nullcontext() if is_last else self._accelerator.no_sync(self._unet):
                loss = self._loss(_chosen_rows(rows, part), _chosen_noise(noise, part))
                # Processes average their gradients, whatever their shares are.
                share = len(part) * self._accelerator.num_processes / len(pairs)
                self._accelerator.backward(loss.mean() * share)

        self._accelerator.clip_grad_norm_(self._adapter.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _loss(self, rows: Rows, noise: Noise) -> torch.Tensor:
        with torch.no_grad(), self._adapter.off():
            plain = self._accelerator.unwrap_model(self._unet)
            reference = errors(plain, self._schedule, rows, noise)

        tuned = errors(self._unet, self._schedule, rows, noise)

        return dpo_loss(tuned, reference, self._settings.beta)

    def _resumed(self) -> tuple[int, Sequence[Look], Learnt | None]:
        """Where the run is: the step, the looks, and what would be kept. From the checkpoint."""
        if not self._checkpoint.exists():
            return 0, [], None

        saved = torch.load(self._checkpoint, weights_only=True, map_location="cpu")
        self._adapter.restore(saved["weights"])
        self._optimizer.load_state_dict(saved["optimizer"])
        looks = [Look(*look) for look in saved["looks"]]
        kept = saved["kept"]

        return saved["step"], looks, kept and Learnt(**kept, looks=looks)

    def _save(self, step: int, looks: Sequence[Look], kept: Learnt | None) -> None:
        if self._accelerator.is_main_process:
            state: dict[str, Any] = {
                "step": step,
                "weights": self._adapter.weights(),
                "optimizer": self._optimizer.state_dict(),
                "looks": [(look.step, look.points) for look in looks],
                "kept": kept and {"weights": kept.weights, "step": kept.step},
            }
            with atomic_write(self._checkpoint) as unfinished:
                self._accelerator.save(state, unfinished)

        self._accelerator.wait_for_everyone()


def _nth(total: int, times: int) -> int:
    """How many steps apart something is that happens so often."""
    return max(1, -(-total // times))


def _shares(pairs: int, processes: int) -> Sequence[torch.Tensor]:
    """Which pairs of a step each process takes; at least one."""
    places = torch.arange(pairs)

    return [
        places[number::processes] if number < pairs else places[:1] for number in range(processes)
    ]


def _chosen_rows(rows: Rows, pairs: torch.Tensor) -> Rows:
    places = torch.cat([pairs, pairs + len(rows.latents) // 2])
    added = None
    if rows.added is not None:
        added = {name: value[places] for name, value in rows.added.items()}

    return Rows(latents=rows.latents[places], embeds=rows.embeds[places], added=added)


def _chosen_noise(noise: Noise, pairs: torch.Tensor) -> Noise:
    return Noise(noise=noise.noise[pairs], time=noise.time[pairs])

"""Diffusion-DPO: what a pair says to a denoiser (Wallace et al., 2023)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import DDPMScheduler

Unet = Callable[..., tuple[torch.Tensor, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Pairs as the UNet takes them: the better image of each, then the worse one of each.

    latents: [2 * pairs, channels, height, width]. embeds, added: see Conditions.
    """

    latents: torch.Tensor
    embeds: torch.Tensor
    added: dict[str, torch.Tensor] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Drawn for a step; both images of a pair get the same. noise: [pairs, ...]. time: [pairs]."""

    noise: torch.Tensor
    time: torch.Tensor


def draw_noise(latents: torch.Tensor, times: range, generator: torch.Generator) -> Noise:
    """For these rows, at timesteps of this range. On the CPU, so that a seed is the same noise on
    every device."""
    pairs = len(latents) // 2
    noise = torch.randn((pairs, *latents.shape[1:]), generator=generator)
    time = torch.randint(times.start, times.stop, (pairs,), generator=generator)

    return Noise(noise=noise.to(latents), time=time.to(latents.device))


def errors(unet: Unet, schedule: DDPMScheduler, rows: Rows, drawn: Noise) -> torch.Tensor:
    """How wrong the denoiser is about each row: [2 * pairs]."""
    noise, time = torch.cat([drawn.noise] * 2), torch.cat([drawn.time] * 2)
    noisy = schedule.add_noise(rows.latents, noise, time)
    match schedule.config.prediction_type:
        case "epsilon":
            wanted = noise
        case "v_prediction":
            wanted = schedule.get_velocity(rows.latents, noise, time)
        case _:  # "sample"
            wanted = rows.latents

    (predicted,) = unet(
        noisy.to(rows.embeds.dtype),
        time,
        encoder_hidden_states=rows.embeds,
        added_cond_kwargs=rows.added,
        return_dict=False,
    )

    return (predicted.float() - wanted.float()).pow(2).flatten(1).mean(1)


def dpo_loss(tuned: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """From the errors of the tuned and the untuned denoiser: [pairs].

    Low where the tuning brought the better image nearer than the worse one. beta is the paper's,
    times the number of timesteps; the errors are means over the latents.
    """
    better, worse = (tuned - reference).chunk(2)

    return -F.logsigmoid(-beta / 2 * (better - worse))

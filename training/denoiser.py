"""The UNet: from noise and the text encoder's embeddings to codes.

It is trained with the embeddings of captions, which are computed once, so a step costs only the
UNet. Two things make the seed choose the style:

* A caption's embedding is never quite the same in all styles, and a UNet that was trained only with
  ideal embeddings takes the difference for a wish.
* Noise suits one style: see `suiting`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import DDPMScheduler, UNet2DConditionModel

from training.codes import CHANNELS
from training.loop import Schedule, Weights, load_if_fitting, train
from training.reader import GRID, LEARNT, WIDTH, WORDS, asked
from training.styles import STYLES

BATCH = 24
"""Pictures in one worker's part of a step."""

HEADS = 4
_TOWARDS_NOISE = 0.4
"""The exponent of an even number in 0..1 that becomes a timestep: less is more noise."""

_LOOKS = 0.1
"""The weight of looking at the right cell, beside that of the pictures."""

_EMPTY, _WITH_STYLE, _MIXED, _IDEAL = 0.1, 0.12, 0.3, 0.3
"""The shares of pictures whose prompt is empty, asks for the style, has a little of another emoji,
and whose embedding is ideal."""

NOISE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "num_train_timesteps": 1000,
}
"""Ends in pure noise: otherwise a background of a single colour could not be learned."""

DENOISER = Schedule(
    steps=7600,
    learning_rate=1.2e-3,
    warm_up=100,
    weight_decay=0.01,
    average=0.997,
    final_fraction=0.01,
    checkpoint_every=100,
)


def new_unet(width: int = WIDTH) -> UNet2DConditionModel:
    """width: of the embeddings."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=HEADS,  # which diffusers takes for their number
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=16,
    )


def train_denoiser(
    codes: torch.Tensor,
    ideal: torch.Tensor,
    captioned: torch.Tensor,
    checkpoint: Path,
    schedule: Schedule = DENOISER,
    begun: Weights | None = None,
) -> UNet2DConditionModel:
    """codes: [n, styles, CHANNELS, 8, 8] of the emoji that the text encoder knows.

    ideal: see `ideal_embeddings`. captioned: [n, captions, TOKENS, WIDTH], the embeddings of
    captions. begun: weights to go on from.
    """
    torch.manual_seed(0)
    unet = new_unet(WIDTH - LEARNT.stop)
    if begun is not None:
        read = {
            name: value[:, LEARNT.stop :] if value.shape[1:] == (WIDTH,) else value
            for name, value in begun.items()
        }
        load_if_fitting(unet, read)

    looking = _Looking(unet)
    signal = DDPMScheduler(**NOISE).alphas_cumprod
    ideal = ideal[..., LEARNT.stop :].contiguous()
    captioned = captioned[..., LEARNT.stop :].contiguous()
    shades = shades_of(codes)

    def loss_at(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        emoji = torch.randint(0, len(codes), (BATCH,), generator=generator)
        style = (torch.arange(BATCH) + step) % len(STYLES)
        clean = codes[emoji, style]
        # Spread over the batch, with more noisy timesteps: there the style is decided.
        time = (torch.rand(1, generator=generator) + torch.arange(BATCH) / BATCH) % 1
        time = (time**_TOWARDS_NOISE * len(signal)).long()
        time = time[torch.randperm(BATCH, generator=generator)]
        noise = suiting(torch.randn(clean.shape, generator=generator), style, shades)
        kept = signal[time].view(-1, 1, 1, 1)
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        embeddings = _embeddings(ideal, captioned, emoji, style, generator)

        apart: torch.Tensor = (unet(noisy, time, embeddings).sample - velocity).pow(2).mean()

        return apart + _LOOKS * looking.elsewhere()

    unet.load_state_dict(train(unet, loss_at, schedule, checkpoint, title="denoiser"))

    return _widened(unet)


def shades_of(codes: torch.Tensor) -> torch.Tensor:
    """[styles, CHANNELS]: a direction for each style, in which the mean of its codes over all
    places differs most from the other styles'. The angles between the directions are equal.

    codes: [n, styles, CHANNELS, side, side].
    """
    means = codes.mean((0, 3, 4))
    apart = means - means.mean(0)
    styles = len(apart)
    even = torch.eye(styles) - 1 / styles  # a simplex: equal lengths, equal angles
    left, _, right = torch.linalg.svd(even @ apart, full_matrices=False)
    turned: torch.Tensor = even @ left[:, : styles - 1] @ right[: styles - 1]

    return F.normalize(turned, dim=1)


def suiting(noise: torch.Tensor, style: torch.Tensor, shades: torch.Tensor) -> torch.Tensor:
    """The noise, mirrored so that its mean over all places is nearest to the shade of these styles.

    If any noise may become any of an emoji's pictures, a small UNet aims at their mean and ends at
    the picture nearest to it, whatever the seed. So noise and pictures are paired, as minibatch
    optimal transport does (Tong et al., 2023). All noise together is still normal, because a
    reflection keeps the normal distribution.

    noise: [n, CHANNELS, side, side]. style: [n]. shades: see `shades_of`.
    """
    nearest = (noise.mean((2, 3)) @ shades.T).argmax(1)
    across = F.normalize(shades[nearest] - shades[style], dim=1)  # 0 where it suits already
    along = torch.einsum("nchw,nc->n", noise, across) / noise[0, 0].numel()

    return noise - 2 * (along[:, None] * across)[:, :, None, None]


class _Looking:
    """Knows where the cross-attentions look.

    A UNet knows where it is only from the zeros beside a picture, and without help it takes long to
    find the cell that describes a place: after 12,000 pictures all places looked at all cells.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self._seen: dict[str, dict[str, torch.Tensor]] = {}
        for name, part in unet.named_modules():
            if name.endswith(("attn2.to_q", "attn2.to_k")):
                layer, _, kind = name.rpartition(".")
                part.register_forward_hook(self._keeper(self._seen.setdefault(layer, {}), kind))

    @staticmethod
    def _keeper(kept: dict[str, torch.Tensor], kind: str) -> Callable[..., None]:
        def keep(_module: torch.nn.Module, _given: object, made: torch.Tensor) -> None:
            kept[kind] = made.unflatten(-1, (HEADS, -1)).transpose(1, 2)

        return keep

    def elsewhere(self) -> torch.Tensor:
        """The mean of minus the logarithm of how much of what a place looks at is its own cell, in
        any style; in the last forward pass.
        """
        found = []
        for seen in self._seen.values():
            scores = seen["to_q"] @ seen["to_k"].transpose(2, 3) / seen["to_q"].shape[-1] ** 0.5
            own = _own_cells(scores.shape[2])
            right = scores.masked_fill(~own, -torch.inf)
            found.append((scores.logsumexp(-1) - right.logsumexp(-1)).mean())

        return torch.stack(found).mean()


def _own_cells(places: int) -> torch.Tensor:
    """[places, TOKENS]: which tokens describe the places of a square, row by row."""
    side = math.isqrt(places)
    cell = torch.arange(side) * GRID // side
    own = F.one_hot((GRID * cell[:, None] + cell).flatten(), GRID**2).bool()

    return torch.cat([own.new_zeros(places, WORDS), own.repeat(1, len(STYLES))], 1)


def _widened(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The same for whole embeddings: the part that was left out of the training is not read."""
    wide = new_unet()
    weights = {
        name: F.pad(value, (LEARNT.stop, 0)) if value.shape != wanted.shape else value
        for (name, value), wanted in zip(
            unet.state_dict().items(), wide.state_dict().values(), strict=True
        )
    }
    wide.load_state_dict(weights)

    return wide


def _embeddings(
    ideal: torch.Tensor,
    captioned: torch.Tensor,
    emoji: torch.Tensor,
    style: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """[n, TOKENS, width]: the ideal embedding of each emoji, or that of a caption of it.

    Now and then the prompt is empty, asks for the style, or has a little of another emoji.
    """
    count = len(emoji)
    chance = torch.rand(count, generator=generator)
    other = torch.randint(0, len(ideal), (count,), generator=generator)
    share = 0.3 * torch.rand(count, generator=generator) * (chance > 1 - _MIXED)
    empty = chance < _EMPTY
    meant = torch.where(empty, len(ideal) - 1, emoji)
    asks = torch.rand(count, generator=generator) < _WITH_STYLE
    added = asked(torch.where(asks & ~empty, style, -1))[..., LEARNT.stop :]
    which = torch.randint(0, captioned.shape[1], (count,), generator=generator)
    is_ideal = empty | (torch.rand(count, generator=generator) < _IDEAL)
    found = torch.where(is_ideal.view(-1, 1, 1), ideal[meant], captioned[emoji, which].float())

    return torch.lerp(found, ideal[other], share.view(-1, 1, 1)) + added

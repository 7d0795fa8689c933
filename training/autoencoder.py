"""The AutoencoderKL: its decoder turns codes into pictures, its encoder pictures into codes."""

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import AutoencoderKL

from training.codes import CHANNELS
from training.loop import Schedule, Weights, train
from training.styles import SIDE_PX

WIDTHS = (8, 16, 32, 64, 96)
"""Channels from the full size down to a 16th of it; most of the time goes into the first two."""

DECODER = Schedule(steps=3000, learning_rate=2e-3, warm_up=100, weight_decay=1e-4, average=0.998)
ENCODER = Schedule(steps=500, learning_rate=2e-3, warm_up=100, weight_decay=1e-4, average=0.998)
_BATCH = 4
"""Pictures in one worker's part of a step."""

_NOISE = 0.15
"""The most noise that the decoder is trained with, because the denoiser's codes are inexact."""


def new_autoencoder() -> AutoencoderKL:
    levels = len(WIDTHS)
    model = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=SIDE_PX,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )
    _initialise(model)

    return model


def train_autoencoder(
    pictures: torch.Tensor,
    codes: torch.Tensor,
    folder: Path,
    *,
    decoder: Schedule = DECODER,
    encoder: Schedule = ENCODER,
) -> AutoencoderKL:
    """Train both halves, each on its own, because the codes are given.

    pictures: [n, styles, 3, side, side] uint8. codes: [n, styles, CHANNELS, side/16, side/16].
    """
    model = new_autoencoder()
    drawing = torch.nn.ModuleDict({"pq": model.post_quant_conv, "dec": model.decoder})
    finding = torch.nn.ModuleDict({"q": model.quant_conv, "enc": model.encoder})

    def drawing_loss(step: int) -> torch.Tensor:
        pixels, wanted, generator = _batch(pictures, codes, step)
        strength = _NOISE * torch.rand((len(wanted), 1, 1, 1), generator=generator)
        noisy = wanted + strength * torch.randn(wanted.shape, generator=generator)

        return picture_loss(drawing["dec"](drawing["pq"](noisy)), pixels)

    def finding_loss(step: int) -> torch.Tensor:
        pixels, wanted, _ = _batch(pictures, codes, step)
        mean, _ = finding["q"](finding["enc"](pixels)).chunk(2, dim=1)

        return F.mse_loss(mean, wanted)

    # Both are trained before averaged weights are loaded; neither half affects the other.
    drawn: Weights = train(drawing, drawing_loss, decoder, folder / "decoder.pt", title="decoder")
    found: Weights = train(finding, finding_loss, encoder, folder / "encoder.pt", title="encoder")
    drawing.load_state_dict(drawn)
    finding.load_state_dict(found)
    with torch.no_grad():  # the codes are exact, so their variance is none
        model.quant_conv.weight[CHANNELS:] = 0
        model.quant_conv.bias[CHANNELS:] = -20

    return model


def encoded(model: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    """From [n, styles, 3, side, side] uint8 to [n, styles, CHANNELS, side/16, side/16]."""
    with torch.no_grad():
        found = [model.encode(styles.float() / 127.5 - 1).latent_dist.mean for styles in pictures]

    return torch.stack(found)


def picture_loss(drawn: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The difference in values, in gradients, and at half and quarter size."""
    apart = drawn - wanted
    across, along = apart[..., 1:] - apart[..., :-1], apart[..., 1:, :] - apart[..., :-1, :]
    half = F.avg_pool2d(apart, 2)
    quarter = F.avg_pool2d(half, 2)

    return (
        apart.abs().mean()
        + apart.pow(2).mean()
        + (across.abs().mean() + along.abs().mean()) / 2
        + (half.abs().mean() + quarter.abs().mean()) / 2
    )


def _batch(
    pictures: torch.Tensor, codes: torch.Tensor, step: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(step)
    emoji = torch.randint(0, len(pictures), (_BATCH,), generator=generator)
    style = torch.randint(0, pictures.shape[1], (_BATCH,), generator=generator)

    return pictures[emoji, style].float() / 127.5 - 1, codes[emoji, style], generator


def _initialise(model: AutoencoderKL) -> None:
    """Initialise resizing as smoothing, and blocks close to the identity.

    With torch's own initialisation a picture would fade in nine convolutions that have no skip
    connection, and the first thousand steps would be spent on finding colours.
    """
    generator = torch.Generator().manual_seed(3)
    for name, part in model.named_modules():
        if isinstance(part, torch.nn.Conv2d):
            outputs, inputs, side, _ = part.weight.shape
            weight = torch.randn(part.weight.shape, generator=generator)
            weight /= (inputs * side * side) ** 0.5
            if "downsamplers" in name or "upsamplers" in name:
                line = torch.tensor([1.0, 2.0, 1.0]) / 4
                smooth = line[:, None] * line[None]
                weight = 0.3 * weight + 0.95 * torch.eye(outputs)[:, :, None, None] * smooth
            elif "conv_shortcut" in name:
                weight = 0.3 * weight + 0.95 * _copying(outputs, inputs)[:, :, None, None]
            elif name.endswith("conv2"):
                weight = 0.3 * weight
            elif "quant_conv" in name and outputs == inputs:
                weight = torch.eye(outputs)[:, :, None, None] + 0.1 * weight

            with torch.no_grad():
                part.weight.copy_(weight)
                if part.bias is not None:
                    part.bias.zero_()


def _copying(outputs: int, inputs: int) -> torch.Tensor:
    """[outputs, inputs]: each output copies an input, or averages several."""
    if outputs >= inputs:
        return torch.eye(inputs)[torch.arange(outputs) % inputs]

    copied = torch.eye(outputs)[:, torch.arange(inputs) % outputs]

    return copied / copied.sum(1, keepdim=True).sqrt()

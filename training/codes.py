"""The latents that the denoiser is trained on: 24 numbers for each 16x16 patch of a picture.

They are the patch's principal components over all pictures, which need no training. A component's
weight is the square root of its deviation: coarse components emerge from the noise first, and fine
ones still count.
"""

from dataclasses import dataclass

import torch

PATCH_PX = 16
CHANNELS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """mean: [768], basis: [768, CHANNELS], scale: [CHANNELS]."""

    mean: torch.Tensor
    basis: torch.Tensor
    scale: torch.Tensor

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """From [n, 3, side, side] in 0..255 to [n, CHANNELS, side/16, side/16].

        Its standard deviation is about 1.
        """
        return (((_patches(pixels) - self.mean) @ self.basis) * self.scale).permute(0, 3, 1, 2)


def fit(pictures: torch.Tensor) -> Codes:
    """The codes for pictures [n, styles, 3, side, side] uint8."""
    width = 3 * PATCH_PX**2
    products = torch.zeros(width, width, dtype=torch.float64)
    sums = torch.zeros(width, dtype=torch.float64)
    count = 0
    for style in pictures.unbind(1):
        patches = _patches(style).reshape(-1, width)
        products += (patches.T @ patches).double()
        sums += patches.sum(0).double()
        count += len(patches)

    mean = sums / count
    spread, basis = torch.linalg.eigh(products / count - mean[:, None] * mean[None])
    deviation = spread.flip(0)[:CHANNELS].sqrt().float()
    scale = deviation**-0.5
    scale /= (deviation * scale).pow(2).mean().sqrt()

    return Codes(mean=mean.float(), basis=basis.flip(1)[:, :CHANNELS].float(), scale=scale)


def encode_all(codes: Codes, pictures: torch.Tensor) -> torch.Tensor:
    """From [n, styles, 3, side, side] uint8 to [n, styles, CHANNELS, side/16, side/16]."""
    return torch.stack([codes.encode(style) for style in pictures.unbind(1)], 1)


def _patches(pixels: torch.Tensor) -> torch.Tensor:
    """[n, 3, side, side] in 0..255 to [n, side/16, side/16, 768] in -1..1."""
    count, _, height, width = pixels.shape
    rows, columns = height // PATCH_PX, width // PATCH_PX
    cut = (pixels.float() / 127.5 - 1).view(count, 3, rows, PATCH_PX, columns, PATCH_PX)

    return cut.permute(0, 2, 4, 1, 3, 5).reshape(count, rows, columns, -1)

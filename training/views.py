"""Augments each picture: mirrored, rotated, scaled and moved views, and different lighting."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812

from training.emoji import Emoji

VIEWS = 12
_STRENGTH, _TINT, _SIDE_LIGHT = (0.65, 1.05), 0.16, 0.4
"""Of the lighting: the range of contrast, and the most tint and shade from one side."""


def views_of(pixels: torch.Tensor, emoji: Sequence[Emoji]) -> torch.Tensor:
    """From [n, side, side, 3] to [n, VIEWS, 3, side, side], all uint8.

    The first view is the picture itself; the second is its mirror image, if it may be mirrored.
    """
    made = [_views(of, one, seed) for seed, (of, one) in enumerate(zip(pixels, emoji, strict=True))]

    return torch.stack(made)


def both_ways(views: torch.Tensor, emoji: Sequence[Emoji]) -> torch.Tensor:
    """[n, 2, 3, side, side]: each picture and its mirror image, or itself if it has none."""
    ways = views[:, :2].clone()
    for number, one in enumerate(emoji):
        if not one.can_be_mirrored:
            ways[number, 1] = ways[number, 0]

    return ways


def lit(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """In random lighting: weaker, coloured, and more from one side. White stays white.

    pixels: [n, 3, side, side] in 0..255. Of all ways to make two seeds differ this is the easiest
    to learn: it changes each patch on its own. Moving, rotating and scaling change nearly all
    codes, and a model that was trained on such pictures made blurred ones.
    """

    def between(low: float, high: float, colours: int = 1) -> torch.Tensor:
        drawn = torch.rand((len(pixels), colours, 1, 1), generator=generator)

        return low + (high - low) * drawn

    strength = between(*_STRENGTH) * (1 + between(-_TINT, _TINT, colours=3))
    slope, towards = between(0, _SIDE_LIGHT), between(0, 2 * math.pi)
    line = torch.linspace(-1, 1, pixels.shape[-1])
    side = towards.cos() * line + towards.sin() * line[:, None]

    return (255 - (255 - pixels) * (strength + slope * side)).clamp(0, 255)


def _views(pixels: torch.Tensor, emoji: Emoji, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1000 + seed)

    def between(low: float, high: float) -> torch.Tensor:
        return torch.empty(VIEWS).uniform_(low, high, generator=generator)

    tilt = 0.08 if emoji.may_be_tilted_much else 0.05
    angle, shrink = between(-tilt, tilt), between(1.0, 1.12)
    right, down = between(-0.07, 0.07), between(-0.07, 0.07)
    for change in (angle, right, down):
        change[:2] = 0

    shrink[:2] = 1
    mirror = torch.ones(VIEWS)
    if emoji.can_be_mirrored:
        mirror[1::2] = -1
    else:
        angle[1], shrink[1] = angle[2] / 2, 1.08

    cos, sin = torch.cos(angle) * shrink, torch.sin(angle) * shrink
    rows = [torch.stack([cos * mirror, -sin, right], 1), torch.stack([sin * mirror, cos, down], 1)]
    # Ink instead of light, so that what comes in from outside is white.
    ink = (255.0 - pixels.permute(2, 0, 1).float()).expand(VIEWS, -1, -1, -1)
    grid = F.affine_grid(torch.stack(rows, 1), list(ink.shape), align_corners=False)
    seen = F.grid_sample(ink, grid, align_corners=False, padding_mode="zeros")
    seen[0] = ink[0]

    return (255 - seen).round().byte()

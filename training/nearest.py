"""Finds the emoji that a picture resembles most, by the mean squared difference at 32x32."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

SMALL_PX = 32


def small(pixels: torch.Tensor) -> NDArray[np.float32]:
    """From [n, 3, side, side] in 0..255 to [n, 3 * SMALL_PX**2]."""
    shrunk = F.interpolate(pixels.float(), size=(SMALL_PX, SMALL_PX), mode="area")

    return np.asarray(shrunk.reshape(len(shrunk), -1), dtype=np.float32)


class Gallery:
    """All training pictures, in all their views."""

    def __init__(self, views: torch.Tensor) -> None:
        """views: [n, views, 3, side, side] uint8."""
        self._views = np.stack([small(view) for view in views.unbind(1)], 1)
        self._squares = (self._views**2).sum(2)

    def nearest(self, pictures: NDArray[np.float32], count: int) -> list[list[int]]:
        """For each picture, the emoji with the nearest views, nearest first."""
        flat = self._views.reshape(-1, self._views.shape[2])
        apart = self._squares.reshape(1, -1) - 2 * pictures @ flat.T
        per_emoji = apart.reshape(len(pictures), *self._squares.shape).min(2)

        return [[int(n) for n in np.argsort(row)[:count]] for row in per_emoji]


def share_found(nearest: Sequence[Sequence[int]], right: Sequence[int]) -> float:
    """How often the right emoji is among the nearest ones."""
    return sum(one in found for one, found in zip(right, nearest, strict=True)) / len(right)


def least_apart(pictures: NDArray[np.float32]) -> float:
    """The root mean square difference of the two most similar pictures, in levels of 255."""
    apart = pictures[:, None] - pictures[None]
    pairs = np.sqrt((apart**2).mean(2))[np.triu_indices(len(pictures), 1)]

    return float(pairs.min())

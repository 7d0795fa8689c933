"""A device whose memory is small: real UNets and VAEs that run out of it."""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel


def let_fit(
    monkeypatch: pytest.MonkeyPatch, *, rows: int | None = None, decoded: int | None = None
) -> list[int]:
    """Have every UNet raise torch's error above so many rows, every VAE above so many pictures.

    Returns a list that grows by the number of rows, or pictures, of each call that did not fit.
    """
    refused: list[int] = []

    def limit(module: type, method: str, most: int) -> None:
        original = getattr(module, method)

        def limited(self: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
            if len(sample) > most:
                refused.append(len(sample))
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

            return original(self, sample, *args, **kwargs)

        monkeypatch.setattr(module, method, limited)

    if rows is not None:
        limit(UNet2DConditionModel, "forward", rows)

    if decoded is not None:
        limit(AutoencoderKL, "decode", decoded)

    return refused

"""How much there is to compute, how fast the device could, and how much memory it takes."""

import resource
import sys
import time
from typing import Any

import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.support.makers import IMAGES, Setting, opened

MATMUL_SIDE = 8192
TOY_MATMUL_SIDE = 512
_MATMULS = 20
_TOKENS = 77


def counted_tflop(setting: Setting) -> dict[str, float]:
    """Floating-point operations of a step (a UNet call for all images, with guidance) and of
    decoding, in units of 10^12: matrix products and convolutions, counted without computing them.
    """
    with torch.device("meta"), torch.no_grad():
        unet = diffusers.UNet2DConditionModel.from_config(
            diffusers.UNet2DConditionModel.load_config(setting.model / "unet")
        )
        vae = diffusers.AutoencoderKL.from_config(
            diffusers.AutoencoderKL.load_config(setting.model / "vae")
        )
        side = setting.side_px // 2 ** (len(vae.config.block_out_channels) - 1)
        latents = torch.empty(IMAGES, 4, side, side)
        rows = 2 * IMAGES
        words = torch.empty(rows, _TOKENS, unet.config.cross_attention_dim)
        with FlopCounterMode(display=False) as step:
            unet(torch.cat([latents, latents]), torch.empty(rows), words)

        with FlopCounterMode(display=False) as decoding:
            vae.decode(latents)

    return {
        "step": step.get_total_flops() / 1e12,
        "decoding": decoding.get_total_flops() / 1e12,
    }


def matmul_peak_tflops(dtype: str, device: str, *, side: int) -> float:
    """The most that a product of two square matrices was measured to do on the device."""
    left, right = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in "lr")
    best_s = float("inf")
    for _ in range(_MATMULS):
        began_s = now_s()
        torch.mm(left, right)
        best_s = min(best_s, now_s() - began_s)

    return 2 * side**3 / best_s / 1e12


def peak_memory_mb(setting: Setting, name: str) -> float:
    """The most memory while one request is made; for a process that does nothing else.

    Of the device, as torch reserves it; of the process, on a CPU.
    """
    opened(name, setting).make(0, lambda: None)
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_reserved()) / 1e6

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    return kilobytes / (1e6 if sys.platform == "darwin" else 1e3)


class Laps:
    """Times steps while they are made, without making the device wait."""

    def __init__(self) -> None:
        self._on_gpu = torch.cuda.is_available()
        self._laps: list[Any] = []

    def lap(self) -> None:
        """A step is done, or will be when the device has done what it was given."""
        if self._on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._laps.append(event)
        else:
            self._laps.append(time.perf_counter())

    def mean_s(self) -> float:
        """Seconds a step, from the first step's end to the last one's; once all are done."""
        first, last = self._laps[0], self._laps[-1]
        whole_s = first.elapsed_time(last) / 1000 if self._on_gpu else last - first

        return float(whole_s) / (len(self._laps) - 1)


def now_s() -> float:
    """The time, once the device has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()

    return time.perf_counter()

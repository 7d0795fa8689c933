"""Between latents and images: both halves of the VAE, and the model's own safety checker."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from generation.diffusion.engine import DecodedImage
from generation.diffusion.memory import memory_errors
from generation.errors import OutOfMemory
from generation.request import Size

Decode: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""From scaled latents, [images, channels, height, width], to [images, 3, height_px, width_px] in
-1 to 1, which the values may exceed a little."""


class Decoder:
    """Decodes as the stock pipelines of Stable Diffusion 1.x, 2.x and XL do."""

    def __init__(self, pipeline: DiffusionPipeline, *, device: str, is_xl: bool) -> None:
        self._pipeline = pipeline
        self._device = device
        self._is_xl = is_xl
        self._too_many = math.inf
        """The fewest elements of latents that did not fit into memory when decoded together."""
        vae = pipeline.vae
        if is_xl and vae.dtype == torch.float16 and vae.config.force_upcast:
            vae.to(torch.float32)  # it overflows in float16

    def vae(self, latents: torch.Tensor) -> torch.Tensor:
        """The uncompiled VAE; a `Decode`."""
        pixels: torch.Tensor = self._pipeline.vae.decode(latents, return_dict=False)[0]

        return pixels

    def images(
        self, latents: torch.Tensor, decode: Decode, dtype: torch.dtype
    ) -> list[DecodedImage]:
        """One image for each of the latents, [images, channels, height, width], of the last step.

        decode: decodes all of them, or `vae` one by one where they do not fit into memory together.
        dtype: what the safety checker, if the model has one, converts its input to.
        """
        pixels, alone = self._pixels(self._scaled(latents), decode)
        pixels, flags = self._checked(pixels, dtype)

        return [
            DecodedImage(image=image, flagged=flagged, decoded_alone=alone)
            for image, flagged in zip(_to_pil(pixels, flags), flags, strict=True)
        ]

    def _scaled(self, latents: torch.Tensor) -> torch.Tensor:
        """From the UNet's latents to the VAE's."""
        config = self._pipeline.vae.config
        scale: float = config.scaling_factor
        if not self._is_xl:
            return latents / scale

        latents = latents.to(self._pipeline.vae.dtype)
        means = getattr(config, "latents_mean", None)
        deviations = getattr(config, "latents_std", None)
        if means is None or deviations is None:
            return latents / scale

        mean = torch.tensor(means).view(1, -1, 1, 1).to(latents)
        deviation = torch.tensor(deviations).view(1, -1, 1, 1).to(latents)

        return latents * deviation / scale + mean

    def _pixels(self, latents: torch.Tensor, decode: Decode) -> tuple[torch.Tensor, bool]:
        """[images, 3, height_px, width_px], and whether they were decoded one by one."""
        if len(latents) == 1:
            return decode(latents), False

        if latents.numel() < self._too_many:
            try:
                with memory_errors():
                    return decode(latents), False
            except OutOfMemory:
                self._too_many = latents.numel()

        return torch.cat([self.vae(row) for row in latents.split(1)]), True

    def _checked(self, pixels: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, list[bool]]:
        """Blackened where the model's own safety checker, if it has one, flags the image."""
        if getattr(self._pipeline, "safety_checker", None) is None:
            return pixels, [False] * len(pixels)

        pixels, flags = self._pipeline.run_safety_checker(pixels, self._device, dtype)

        return pixels, [bool(flag) for flag in flags]


class Encoder:
    """Encodes as the stock image-to-image pipelines of Stable Diffusion 1.x, 2.x and XL do.

    With one exception: these raise XL's VAE to float32 for encoding whatever its dtype is. Here one
    in bfloat16, which does not overflow, stays as it is. In float16 the Decoder has raised it.
    """

    def __init__(self, pipeline: DiffusionPipeline, *, device: str, is_xl: bool) -> None:
        self._pipeline = pipeline
        self._device = device
        self._is_xl = is_xl

    def latents(
        self,
        image: Image.Image,
        size: Size,
        generators: Sequence[torch.Generator],
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """The UNet's latents of the image, one for each generator: [images, channels, height,
        width]. They differ, because the VAE says only how they are distributed.

        Raises ValueError for an image of another size.
        """
        if image.size != (size.width_px, size.height_px):
            found = Size(*image.size)
            raise ValueError(f"the image to vary is {found}, and the request's size is {size}")

        vae = self._pipeline.vae
        pixels = self._pipeline.image_processor.preprocess(image)
        encoded = vae.encode(pixels.to(self._device, dtype).to(vae.dtype))
        if hasattr(encoded, "latent_dist"):
            drawn = [encoded.latent_dist.sample(generator) for generator in generators]
        else:
            drawn = [encoded.latents] * len(generators)  # a tiny VAE has only one answer

        return self._scaled(torch.cat(drawn).to(dtype))

    def _scaled(self, latents: torch.Tensor) -> torch.Tensor:
        """From the VAE's latents to the UNet's."""
        config = self._pipeline.vae.config
        scale: float = config.scaling_factor
        means = getattr(config, "latents_mean", None)
        deviations = getattr(config, "latents_std", None)
        if not self._is_xl or means is None or deviations is None:
            return scale * latents

        mean = torch.tensor(means).view(1, -1, 1, 1).to(latents)
        deviation = torch.tensor(deviations).view(1, -1, 1, 1).to(latents)

        return (latents - mean) * scale / deviation


def _to_pil(pixels: torch.Tensor, flags: list[bool]) -> list[Image.Image]:
    """Images of [images, 3, height_px, width_px] in -1 to 1; flagged ones are black."""
    levels = (pixels * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float()
    arrays = (levels * 255).round().to(torch.uint8).cpu().numpy()

    return [
        Image.new("RGB", (array.shape[1], array.shape[0])) if flagged else Image.fromarray(array)
        for array, flagged in zip(arrays, flags, strict=True)
    ]

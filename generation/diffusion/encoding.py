"""From an image that is to be varied to latents: the VAE's other half."""

from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from generation.request import Size


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

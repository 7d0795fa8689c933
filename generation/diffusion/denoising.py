"""Our own denoising loop for UNet latent diffusion: Stable Diffusion 1.x, 2.x and XL."""

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from generation.diffusion.engine import OWN, Picture, Stage
from generation.diffusion.memory import memory_errors
from generation.diffusion.prompts import Conditioning, OneEncoder, TwoEncoders
from generation.errors import OutOfMemory
from generation.request import ImageRequest


class Denoiser:
    """Makes the pictures that the stock pipeline makes, one step at a time.

    Built from the parts of a loaded and placed pipeline. It keeps no state of a request: any number
    of runs may be under way, and stepped in any order, by one thread.

    `unet` and `decode` may be replaced, between two requests, by callables of the same signature:

    unet(sample, timestep, *, encoder_hidden_states, timestep_cond, added_cond_kwargs,
        return_dict=False) returns a tuple that begins with the predicted noise, shaped as `sample`:
        [rows, channels, height, width], where rows is the images, or twice that with guidance. The
        timesteps are [rows], on the device.
    decode(latents) takes them as the VAE wants them, [images, channels, height, width], and
        returns [images, 3, height_px, width_px], from -1 to 1 or a little beyond.

    A run keeps those with which it began.

    One thing of the stock pipelines is left out: XL's invisible watermark, which they add where the
    package for it happens to be installed.
    """

    def __init__(self, pipeline: Any, *, device: str) -> None:
        self.name = OWN
        self.device = device
        self.unet: Callable[..., Any] = pipeline.unet
        self.decode: Callable[[Any], Any] = self._decode
        self.too_much_to_decode = math.inf
        """How many numbers of latents did not fit when they were decoded together."""
        self._pipeline = pipeline
        self._is_xl = hasattr(pipeline, "text_encoder_2")
        self._conditioning: Conditioning = (TwoEncoders if self._is_xl else OneEncoder)(
            pipeline, device
        )
        vae = pipeline.vae
        if self._is_xl and vae.dtype == torch.float16 and vae.config.force_upcast:
            vae.to(torch.float32)  # it overflows in float16

    def begin(self, request: ImageRequest) -> "Run":
        """A run with one row per seed, before its first step. Raises ValueError for an odd size."""
        with torch.no_grad():
            return Run(self, request)

    def make(self, request: ImageRequest, after_step: Callable[[Stage], None]) -> list[Picture]:
        """One picture per seed, all in one batch.

        Raises OutOfMemory, and what `after_step` raises, which ends it.
        """
        with memory_errors():
            run = self.begin(request)
            while run.done < run.total:
                run.step()
                after_step(run)

            return run.finish()

    def is_guided(self, request: ImageRequest) -> bool:
        """Whether each image takes two rows: one with the prompt, one with the negative one."""
        return request.guidance_scale > 1 and self._guidance_width is None

    @property
    def _guidance_width(self) -> int | None:
        """How a UNet that was distilled with guidance is told the scale; None for the others."""
        width: int | None = self._pipeline.unet.config.time_cond_proj_dim

        return width

    def _guidance_embedding(self, request: ImageRequest, dtype: torch.dtype) -> Any:
        """[images, width], or None where the UNet is not told the scale."""
        if self._guidance_width is None:
            return None

        scales = torch.tensor(request.guidance_scale - 1).repeat(len(request.seeds))
        embedding = self._pipeline.get_guidance_scale_embedding(
            scales, embedding_dim=self._guidance_width
        )

        return embedding.to(device=self.device, dtype=dtype)

    def _decode(self, latents: Any) -> Any:
        return self._pipeline.vae.decode(latents, return_dict=False)[0]

    def _unscaled(self, latents: Any) -> Any:
        """From the UNet's latents to the VAE's."""
        config = self._pipeline.vae.config
        if not self._is_xl:
            return latents / config.scaling_factor

        latents = latents.to(self._pipeline.vae.dtype)
        means = getattr(config, "latents_mean", None)
        deviations = getattr(config, "latents_std", None)
        if means is None or deviations is None:
            return latents / config.scaling_factor

        mean = torch.tensor(means).view(1, -1, 1, 1).to(latents)
        deviation = torch.tensor(deviations).view(1, -1, 1, 1).to(latents)

        return latents * deviation / config.scaling_factor + mean

    def _checked(self, pixels: Any, dtype: torch.dtype) -> tuple[Any, list[bool]]:
        """Ask the model's own safety checker, if it has one, which blackens what it refuses."""
        if getattr(self._pipeline, "safety_checker", None) is None:
            return pixels, [False] * len(pixels)

        pixels, flags = self._pipeline.run_safety_checker(pixels, self.device, dtype)

        return pixels, [bool(flag) for flag in flags]


class Run:
    """One batch on its way: `total` steps, of which `done` are done, then `finish`.

    latents: [images, channels, height, width] after the last step; a new tensor after each.
    """

    def __init__(self, engine: Denoiser, request: ImageRequest) -> None:
        if request.size.width_px % 8 or request.size.height_px % 8:
            raise ValueError(
                f"width and height must be divisible by 8, but the size is {request.size}"
            )

        self.done = 0
        self._engine = engine
        self._unet, self._decode = engine.unet, engine.decode
        self._scale = request.guidance_scale
        self._guided = engine.is_guided(request)
        self._conditions = engine._conditioning.encode(request, guided=self._guided)
        dtype = self._conditions.embeds.dtype
        self._guidance = engine._guidance_embedding(request, dtype)

        # The scheduler counts on the host, so that it never waits for the device; the UNet gets a
        # copy of its times. Schedulers keep what earlier steps were, so each run has its own.
        self._scheduler = copy.deepcopy(engine._pipeline.scheduler)
        self._scheduler.set_timesteps(request.steps, device="cpu")
        self._host_times = list(self._scheduler.timesteps)
        self.total = len(self._host_times)
        rows = len(self._conditions.embeds)
        self._times = self._scheduler.timesteps.to(engine.device)[:, None].repeat(1, rows)

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in request.seeds]
        self._extra = _extra_arguments(self._scheduler.step, generators)
        factor = engine._pipeline.vae_scale_factor
        shape = (
            len(request.seeds),
            engine._pipeline.unet.config.in_channels,
            request.size.height_px // factor,
            request.size.width_px // factor,
        )
        noise = randn_tensor(shape, generators, torch.device(engine.device), dtype)
        self.latents = noise * self._scheduler.init_noise_sigma
        self._seen: tuple[Any, Any, Any] | None = None  # the latest step's sample, noise and time

    def step(self) -> None:
        """Predict the noise and take some of it away."""
        with torch.no_grad():
            time = self._host_times[self.done]
            sample = self._scheduler.scale_model_input(self.latents, time)
            noise = self._predicted_noise(sample)
            self._seen = sample, noise, time
            self.latents = self._scheduler.step(
                noise, time, self.latents, **self._extra, return_dict=False
            )[0]

        self.done += 1

    def finish(self) -> list[Picture]:
        """Decode the latents, and have the model's own safety checker look at the pictures."""
        with torch.no_grad():
            pixels, alone = self._decoded()
            pixels, flags = self._engine._checked(pixels, self._conditions.embeds.dtype)

        return [
            Picture(image=image, flagged=flagged, decoded_alone=alone)
            for image, flagged in zip(_images(pixels, flags), flags, strict=True)
        ]

    def _decoded(self) -> tuple[Any, bool]:
        """[images, 3, height_px, width_px], and whether they were decoded one by one."""
        latents = self._engine._unscaled(self.latents)
        if len(latents) == 1:
            return self._decode(latents), False

        if latents.numel() < self._engine.too_much_to_decode:
            try:
                with memory_errors():
                    return self._decode(latents), False
            except OutOfMemory:
                self._engine.too_much_to_decode = latents.numel()

        return torch.cat([self._engine._decode(row) for row in latents.split(1)]), True

    def expected(self) -> Any:
        """What the latents are expected to become, judged by the latest step; shaped as they are.

        None before the first step, and for a scheduler that keeps no record of its noise. To a UNet
        every scheduler's sample looks alike, a part of signal and one of noise, whose squares add
        to one (DDIM: Song, Meng and Ermon, 2020; v: Salimans and Ho, 2022).
        """
        if self._seen is None or not hasattr(self._scheduler, "alphas_cumprod"):
            return None

        sample, predicted, time = self._seen
        share = float(self._scheduler.alphas_cumprod[round(float(time))])
        signal, noise = share**0.5, (1 - share) ** 0.5
        match self._scheduler.config.prediction_type:
            case "epsilon":
                return (sample - noise * predicted) / max(signal, 1e-4)
            case "v_prediction":
                return signal * sample - noise * predicted
            case "sample":
                return predicted
            case _:
                return None

    def _predicted_noise(self, sample: Any) -> Any:
        """[images, channels, height, width], for a sample scaled as the UNet wants it."""
        noise = self._unet(
            torch.cat([sample, sample]) if self._guided else sample,
            self._times[self.done],
            encoder_hidden_states=self._conditions.embeds,
            timestep_cond=self._guidance,
            added_cond_kwargs=self._conditions.added,
            return_dict=False,
        )[0]
        if not self._guided:
            return noise

        unwanted, wanted = noise.chunk(2)

        # Classifier-free guidance: Ho and Salimans, 2022.
        return unwanted + self._scale * (wanted - unwanted)


def _extra_arguments(step: Any, generators: list[torch.Generator]) -> dict[str, Any]:
    """What a scheduler's step takes beyond the usual: no added noise (eta), sources of noise."""
    offered = {"eta": 0.0, "generator": generators}
    taken = inspect.signature(step).parameters

    return {name: value for name, value in offered.items() if name in taken}


def _images(pixels: Any, flags: list[bool]) -> list[Image.Image]:
    """From [images, 3, height, width] in -1 to 1 to pictures; flagged ones are black."""
    levels = (pixels * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float()
    levels = (levels * 255).round().to(torch.uint8).cpu().numpy()

    return [
        Image.new("RGB", (array.shape[1], array.shape[0])) if flagged else Image.fromarray(array)
        for array, flagged in zip(levels, flags, strict=True)
    ]

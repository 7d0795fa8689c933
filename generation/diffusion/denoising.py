"""Our own denoising loop for UNet latent diffusion: Stable Diffusion 1.x, 2.x and XL."""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from generation.diffusion.engine import OWN, DecodedImage, Stage
from generation.diffusion.memory import memory_errors
from generation.diffusion.prompts import Conditioning, OneEncoder, TwoEncoders
from generation.diffusion.vae import Decode, Decoder, Encoder
from generation.request import ImageRequest


class Denoiser:
    """Makes the images that the stock pipelines make, one step at a time: from noise, or from an
    image that is to be varied (SDEdit: Meng et al., 2021).

    Built from the components of a loaded and placed pipeline. It keeps no state of a request: one
    thread may begin several runs and step them in any order.

    `unet` and `decode` may be replaced, between two requests, by callables of the same signature:

    unet(sample, timestep, *, encoder_hidden_states, timestep_cond, added_cond_kwargs,
        return_dict=False) returns a tuple that begins with the predicted noise, shaped as `sample`:
        [rows, channels, height, width], where rows is the number of images, or twice that with
        guidance. `timestep` is [rows], on the device.
    decode: see Decode.

    A run keeps the callables that it began with.

    Unlike the stock XL pipeline, it adds no invisible watermark where the package `invisible-
    watermark` is installed.
    """

    def __init__(self, pipeline: DiffusionPipeline, *, device: str) -> None:
        self.name = OWN
        self.makes_several = True
        self.device = device
        is_xl = hasattr(pipeline, "text_encoder_2")
        self._pipeline = pipeline
        self._conditioning: Conditioning = (TwoEncoders if is_xl else OneEncoder)(pipeline, device)
        self._decoder = Decoder(pipeline, device=device, is_xl=is_xl)
        self._encoder = Encoder(pipeline, device=device, is_xl=is_xl)
        self.unet: Callable[..., tuple[torch.Tensor, ...]] = pipeline.unet
        self.decode: Decode = self._decoder.vae

    def begin(self, request: ImageRequest, *, parent: Image.Image | None = None) -> "Run":
        """A run with one image per seed, before its first step. parent: what the request varies.

        Raises ValueError for a width or height that is not a multiple of 8, and for a parent of
        another size.
        """
        with torch.no_grad():
            return Run(self, request, parent)

    def make(
        self,
        request: ImageRequest,
        after_step: Callable[[Stage], None],
        *,
        parent: Image.Image | None = None,
    ) -> list[DecodedImage]:
        """See Engine. Raises ValueError as `begin` does."""
        try:
            with memory_errors():
                run = self.begin(request, parent=parent)
                while run.done < run.total:
                    run.step()
                    after_step(run)

                return run.finish()
        finally:
            # A run that ended early left a component on the device.
            self._pipeline.maybe_free_model_hooks()

    def _is_guided(self, request: ImageRequest) -> bool:
        """Whether each image takes two rows: one with the prompt, one with the negative prompt."""
        return request.is_guided and self._guidance_width is None

    @property
    def _guidance_width(self) -> int | None:
        """The width of the guidance embedding that a distilled UNet takes; None for others."""
        width: int | None = self._pipeline.unet.config.time_cond_proj_dim

        return width

    def _guidance_embedding(self, request: ImageRequest, dtype: torch.dtype) -> torch.Tensor | None:
        """[images, width], or None where the UNet takes none."""
        if self._guidance_width is None:
            return None

        scales = torch.tensor((request.guidance_scale or 0.0) - 1).repeat(len(request.seeds))
        embedding: torch.Tensor = self._pipeline.get_guidance_scale_embedding(
            scales, embedding_dim=self._guidance_width
        )

        return embedding.to(device=self.device, dtype=dtype)


class Run:
    """One batch: `total` steps, of which `done` are done, then `finish`. A Stage.

    latents: [images, channels, height, width] after the latest step; each step makes a new tensor.
    """

    def __init__(self, engine: Denoiser, request: ImageRequest, parent: Image.Image | None) -> None:
        if request.size.width_px % 8 or request.size.height_px % 8:
            raise ValueError(
                f"width and height must be divisible by 8, but the size is {request.size}"
            )

        self.done = 0
        self._decoder = engine._decoder
        self._unet, self._decode = engine.unet, engine.decode
        self._scale = request.guidance_scale or 0.0
        self._guided = engine._is_guided(request)
        self._conditions = engine._conditioning.encode(request, guided=self._guided)
        dtype = self._conditions.embeds.dtype
        self._guidance = engine._guidance_embedding(request, dtype)

        # The scheduler counts on the host, so that it never waits for the device; the UNet gets a
        # copy of its timesteps. Schedulers remember earlier steps, so each run has its own.
        self._scheduler = copy.deepcopy(engine._pipeline.scheduler)
        self._scheduler.set_timesteps(request.steps, device="cpu")
        times = self._scheduler.timesteps
        if parent is not None:
            skipped = (request.steps - request.steps_made) * self._scheduler.order
            times = times[skipped:]
            if hasattr(self._scheduler, "set_begin_index"):
                self._scheduler.set_begin_index(skipped)

        self._host_times = list(times)
        self.total = len(self._host_times)
        rows = len(self._conditions.embeds)
        self._times = times.to(engine.device)[:, None].repeat(1, rows)

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in request.seeds]
        self._extra = _extra_arguments(self._scheduler.step, generators)
        clean = None
        if parent is not None:  # the parent's latents are drawn before the noise, as in diffusers
            clean = engine._encoder.latents(parent, request.size, generators, dtype)

        factor = engine._pipeline.vae_scale_factor
        shape = (
            len(request.seeds),
            engine._pipeline.unet.config.in_channels,
            request.size.height_px // factor,
            request.size.width_px // factor,
        )
        noise = randn_tensor(shape, generators, torch.device(engine.device), dtype)
        self.latents: torch.Tensor
        if clean is None:
            self.latents = noise * self._scheduler.init_noise_sigma
        else:
            # By a copy, because it moves the scheduler's tables to the device.
            first = times[:1].repeat(len(request.seeds))
            self.latents = copy.deepcopy(self._scheduler).add_noise(clean, noise, first)

        self._latest: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        """The latest step's sample, predicted noise and timestep."""

    def step(self) -> None:
        """Predict the noise and remove some of it."""
        with torch.no_grad():
            time = self._host_times[self.done]
            sample = self._scheduler.scale_model_input(self.latents, time)
            noise = self._predicted_noise(sample)
            self._latest = sample, noise, time
            self.latents = self._scheduler.step(
                noise, time, self.latents, **self._extra, return_dict=False
            )[0]

        self.done += 1

    def finish(self) -> list[DecodedImage]:
        """Decode the latents, and run the model's own safety checker, if it has one."""
        with torch.no_grad():
            dtype = self._conditions.embeds.dtype

            return self._decoder.images(self.latents, self._decode, dtype)

    def expected(self) -> torch.Tensor | None:
        """The final latents as the latest step predicts them, shaped like `latents`.

        None before the first step, and for a scheduler without `alphas_cumprod`. Every scheduler
        scales its sample for the UNet to signal and noise whose squared shares add up to one
        (DDIM: Song, Meng and Ermon, 2020; v-prediction: Salimans and Ho, 2022).
        """
        if self._latest is None or not hasattr(self._scheduler, "alphas_cumprod"):
            return None

        original: torch.Tensor
        sample, predicted, time = self._latest
        share = float(self._scheduler.alphas_cumprod[round(float(time))])
        signal, noise = share**0.5, (1 - share) ** 0.5
        match self._scheduler.config.prediction_type:
            case "epsilon":
                original = (sample - noise * predicted) / max(signal, 1e-4)
            case "v_prediction":
                original = signal * sample - noise * predicted
            case "sample":
                original = predicted
            case _:
                return None

        return original

    def _predicted_noise(self, sample: torch.Tensor) -> torch.Tensor:
        """[images, channels, height, width], for a sample that the scheduler scaled."""
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

        negative, positive = noise.chunk(2)

        # Classifier-free guidance: Ho and Salimans, 2022.
        return negative + self._scale * (positive - negative)


def _extra_arguments(
    step: Callable[..., Any], generators: list[torch.Generator]
) -> dict[str, float | list[torch.Generator]]:
    """What this scheduler's `step` also takes: `eta`, here no added noise, and `generator`."""
    offered: dict[str, float | list[torch.Generator]] = {"eta": 0.0, "generator": generators}
    taken = inspect.signature(step).parameters

    return {name: value for name, value in offered.items() if name in taken}

"""The tutorial's code and ours, behind one call: four images, and a word after each step."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import diffusers
import torch

from generation.diffusion.backend import DiffusersBackend
from generation.request import ImageRequest, Size
from generation.worker.specs import Compile, DiffusersSpec, Dtype

IMAGES = 4
MODEL = "model"
GUIDANCE = 7.5
PROMPT = "a fox in the snow, oil on canvas, morning light"
COMPILES_WITHIN_S = 3600.0

FULL = "tutorial, float32"
HALF = "tutorial, half"
OURS = "oxherd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is asked for, where, and how ours serves it.

    half: the number format of 16 bits that the device is good at, or float32 if it has none.
    compile: as in the setting OXHERD_COMPILE; compiled: where compiled versions are kept.
    """

    model: Path
    device: str
    half: Dtype
    steps: int
    side_px: int
    compile: Compile
    compiled: Path

    @property
    def spec(self) -> DiffusersSpec:
        """What a worker process opens."""
        return DiffusersSpec(
            model=str(self.model),
            dtype=self.half,
            compile=self.compile,
            compiled_folder=self.compiled,
            compiled_size=Size(self.side_px, self.side_px),
        )

    def request(self, seed: int) -> ImageRequest:
        """Four images; no two requests with different seeds share one."""
        return ImageRequest(
            prompt=PROMPT,
            seeds=tuple(range(IMAGES * seed, IMAGES * (seed + 1))),
            steps=self.steps,
            guidance_scale=GUIDANCE,
            size=Size(self.side_px, self.side_px),
            model=MODEL,
        )


class Maker(Protocol):
    """Makes four images at a time."""

    def make(self, seed: int, after_step: Callable[[], None]) -> None: ...


def makers_of(half: str) -> tuple[str, ...]:
    """Those to compare: the tutorial in half precision only where there is one."""
    return (FULL, OURS) if half == "float32" else (FULL, HALF, OURS)


def opened(name: str, setting: Setting) -> Maker:
    """A maker, loaded; ours once it serves as it will go on to."""
    if name == OURS:
        return Ours(setting)

    return Tutorial(setting, "float32" if name == FULL else setting.half)


class Tutorial:
    """The stock pipeline as it comes, called as the tutorial does."""

    def __init__(self, setting: Setting, dtype: str) -> None:
        self._setting = setting
        self._pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
            setting.model, dtype=getattr(torch, dtype)
        ).to(setting.device)
        self._pipeline.set_progress_bar_config(disable=True)

    def make(self, seed: int, after_step: Callable[[], None]) -> None:
        def step_ended(_pipeline: Any, _step: int, _time: Any, tensors: Any) -> Any:
            after_step()
            return tensors

        self._pipeline(
            PROMPT,
            num_images_per_prompt=IMAGES,
            num_inference_steps=self._setting.steps,
            guidance_scale=GUIDANCE,
            height=self._setting.side_px,
            width=self._setting.side_px,
            generator=torch.Generator("cpu").manual_seed(seed),
            callback_on_step_end=step_ended,
        )


class Ours:
    """This program's backend, as a worker process has it. PNG files are made, too."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._backend = DiffusersBackend(setting.spec, device=setting.device)
        self._backend.load()
        began_s = time.monotonic()
        while "compiling" in (serving := self._backend.between_requests(lambda phrase: None)):
            if time.monotonic() - began_s > COMPILES_WITHIN_S:
                raise TimeoutError(f"nothing was compiled within {COMPILES_WITHIN_S:g} s")

            time.sleep(0.5)

        self.serving = serving

    def make(self, seed: int, after_step: Callable[[], None]) -> None:
        self._backend.generate(self._setting.request(seed), _Steps(after_step))


class _Steps:
    """A watcher that passes each step on, and wants nothing."""

    cancelled = False
    wants_preview = False

    def __init__(self, after_step: Callable[[], None]) -> None:
        self._after_step = after_step

    def step_done(self, step: int, steps: int) -> None:
        self._after_step()

    def preview(self, draw: Callable[[], bytes]) -> None:
        """Never wanted."""

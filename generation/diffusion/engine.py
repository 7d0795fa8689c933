"""What denoises a batch, and which engine serves a model. Loads no model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from generation.request import PIPELINE, ImageRequest

OWN = "oxherd"

_SHARED_COMPONENTS: Mapping[str, frozenset[str]] = {
    "text_encoder": frozenset({"CLIPTextModel"}),
    "tokenizer": frozenset({"CLIPTokenizer", "CLIPTokenizerFast"}),
    "unet": frozenset({"UNet2DConditionModel"}),
    "vae": frozenset({"AutoencoderKL", "AutoencoderTiny"}),
}
_FAMILIES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "StableDiffusionPipeline": _SHARED_COMPONENTS,
    "StableDiffusionXLPipeline": {
        **_SHARED_COMPONENTS,
        "text_encoder_2": frozenset({"CLIPTextModelWithProjection"}),
        "tokenizer_2": frozenset({"CLIPTokenizer", "CLIPTokenizerFast"}),
    },
}
"""Pipeline class -> component -> the classes of it that the own engine supports."""

_ANY_CLASS = {"scheduler", "safety_checker", "feature_extractor"}


class Stage(Protocol):
    """How far a batch is: `done` of `total` steps.

    latents: [images, channels, height, width], packed in some families: the engine's own tensor,
        not to be changed.
    """

    @property
    def done(self) -> int: ...

    @property
    def total(self) -> int: ...

    @property
    def latents(self) -> torch.Tensor: ...

    def expected(self) -> torch.Tensor | None:
        """The final latents as the latest step predicts them, shaped like `latents`.

        None where the engine cannot tell.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """An image before it is encoded as a file.

    flagged: the model's own safety checker made it black.
    decoded_alone: its batch was decoded one by one, because it did not fit into memory together.
    """

    image: Image.Image
    flagged: bool
    decoded_alone: bool = False


class Engine(Protocol):
    """Denoises a batch with a loaded model."""

    @property
    def name(self) -> str:
        """What `versions["engine"]` says of the images."""
        ...

    @property
    def makes_several(self) -> bool:
        """Whether it can make several images together."""
        ...

    def make(
        self,
        request: ImageRequest,
        after_step: Callable[[Stage], None],
        *,
        parent: Image.Image | None = None,
    ) -> list[DecodedImage]:
        """One image per seed, all in one batch. parent: the image that the request varies.

        Raises OutOfMemory, CannotVary, and whatever `after_step` raises, which ends the batch.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The engine that serves a model, and why."""

    name: str
    reason: str


def choose_engine(index: Mapping[str, Any]) -> Choice:
    """The engine for the model with this model_index.json.

    The own one where it supports every component, else the model's own pipeline.
    """
    family = str(index.get("_class_name"))
    if family not in _FAMILIES:
        return Choice(name=PIPELINE, reason=f"{family} is not Stable Diffusion 1.x, 2.x or XL")

    known = _FAMILIES[family]
    found = {name: _class_of(value) for name, value in index.items() if not name.startswith("_")}
    for name, classes in known.items():
        if found.get(name) not in classes:
            return Choice(name=PIPELINE, reason=f"its {name} is {found.get(name) or 'missing'}")

    for name, component in found.items():
        if component is not None and name not in known.keys() | _ANY_CLASS:
            return Choice(name=PIPELINE, reason=f"it has an unknown component, {name}")

    return Choice(name=OWN, reason="it supports every component of the model")


def denoiser_of(pipeline: DiffusionPipeline) -> torch.nn.Module | None:
    """The part of a pipeline that denoises: a transformer or a UNet. None where it has neither."""
    return getattr(pipeline, "transformer", None) or getattr(pipeline, "unet", None)


def _class_of(value: Any) -> str | None:
    """A component's class; None for a component that is left out, and for a setting."""
    return str(value[1]) if isinstance(value, list) and value[1] is not None else None

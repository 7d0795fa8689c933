"""What makes the pictures of a batch, and which engine serves a model; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from generation.request import ImageRequest

OWN = "oxherd"
PIPELINE = "pipeline"

_SHARED_PARTS: Mapping[str, frozenset[str]] = {
    "text_encoder": frozenset({"CLIPTextModel"}),
    "tokenizer": frozenset({"CLIPTokenizer", "CLIPTokenizerFast"}),
    "unet": frozenset({"UNet2DConditionModel"}),
    "vae": frozenset({"AutoencoderKL", "AutoencoderTiny"}),
}
_FAMILIES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "StableDiffusionPipeline": _SHARED_PARTS,
    "StableDiffusionXLPipeline": {
        **_SHARED_PARTS,
        "text_encoder_2": frozenset({"CLIPTextModelWithProjection"}),
        "tokenizer_2": frozenset({"CLIPTokenizer", "CLIPTokenizerFast"}),
    },
}
"""Pipeline -> the parts it must have, and the classes of them that the own engine knows."""

_ANY_CLASS = {"scheduler", "safety_checker", "feature_extractor"}


class Stage(Protocol):
    """How far a batch is. `latents` are the engine's own tensor, not to be changed."""

    @property
    def done(self) -> int: ...

    @property
    def total(self) -> int: ...

    @property
    def latents(self) -> Any: ...

    def expected(self) -> Any:
        """What the latents are expected to become, shaped as they are; None if nobody knows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A decoded picture.

    flagged: the model's own safety checker made it black.
    decoded_alone: its batch was decoded one by one, for it did not fit into memory together.
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

    def make(self, request: ImageRequest, after_step: Callable[[Stage], None]) -> list[Picture]:
        """One picture per seed, all in one batch.

        Raises OutOfMemory, and what `after_step` raises, which ends it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The engine that serves a model, and why."""

    name: str
    reason: str


def choose_engine(index: Mapping[str, Any]) -> Choice:
    """The engine for the model with this model_index.json: the own one if it knows every part."""
    family = str(index.get("_class_name"))
    if family not in _FAMILIES:
        return Choice(name=PIPELINE, reason=f"{family} is not Stable Diffusion 1.x, 2.x or XL")

    known = _FAMILIES[family]
    parts = {name: _class_of(value) for name, value in index.items() if not name.startswith("_")}
    for name, classes in known.items():
        if parts.get(name) not in classes:
            return Choice(name=PIPELINE, reason=f"its {name} is {parts.get(name) or 'missing'}")

    for name, part in parts.items():
        if part is not None and name not in known.keys() | _ANY_CLASS:
            return Choice(name=PIPELINE, reason=f"it has a part of its own, {name}")

    return Choice(name=OWN, reason="it knows every part of the model")


def _class_of(value: Any) -> str | None:
    """A part's class; None for a part that is left out, and for what is a setting."""
    return str(value[1]) if isinstance(value, list) and value[1] is not None else None

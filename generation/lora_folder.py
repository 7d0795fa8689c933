"""A model that is a base and a LoRA: a folder with `lora.json`, as `oxherd tune` writes it.

    {"base": "CompVis/stable-diffusion-v1-4", "base_revision": "133a221b8aa7…",
     "weights": "pytorch_lora_weights.safetensors"}

base: a name on the hub, a folder, or the name of the model that ships with oxherd. base_revision: a
commit of the hub, or the hash of the folder's content. weights: a file beside `lora.json`, as
diffusers loads it. Imports no model library.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from generation import emoji
from generation.errors import BackendUnavailable
from generation.worker.specs import DiffusersSpec

LORA_INDEX = "lora.json"
WEIGHTS = "pytorch_lora_weights.safetensors"
_KEYS = ("base", "base_revision", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """base: what the engine loads first, a name on the hub or a folder. name: what is recorded of
    it, which is not a folder's path."""

    folder: Path
    base: str
    name: str
    base_revision: str
    weights: str

    @property
    def file(self) -> Path:
        return self.folder / self.weights

    @property
    def hub_revision(self) -> str | None:
        """The revision to ask the hub for; None for a base in a folder."""
        return None if self.base_revision.startswith("sha256:") else self.base_revision


def lora_in(model: str) -> Lora | None:
    """The LoRA in the folder that `model` names; None if there is none.

    Raises BackendUnavailable for one that cannot be used.
    """
    folder = Path(model).expanduser()
    index = folder / LORA_INDEX
    if not index.is_file():
        return None

    try:
        found = json.loads(index.read_bytes())
        base, revision, weights = (_text(found, key) for key in _KEYS)
    except (OSError, ValueError) as exc:
        raise BackendUnavailable(f"{index} cannot be read: {exc}") from exc

    if Path(weights).name != weights or not (folder / weights).is_file():
        raise BackendUnavailable(f"{index} names the file {weights!r}, which is not beside it.")

    return Lora(
        folder=folder.resolve(),
        base=str(emoji.MODEL) if base == emoji.MODEL.name else base,
        name=Path(base).name if revision.startswith("sha256:") else base,
        base_revision=revision,
        weights=weights,
    )


def base_of(spec: DiffusersSpec) -> tuple[DiffusersSpec, Lora | None]:
    """What is loaded first, and the LoRA that is added to it, if the model is one.

    Raises BackendUnavailable for a LoRA that cannot be used.
    """
    lora = lora_in(spec.model)
    if lora is None:
        return spec, None

    return replace(spec, model=lora.base, revision=lora.hub_revision), lora


def write_index(folder: Path, *, base: str, base_revision: str) -> None:
    """Write `lora.json` beside the weights."""
    named = emoji.MODEL.name if Path(base) == emoji.MODEL else base
    values = {"base": named, "base_revision": base_revision, "weights": WEIGHTS}
    (folder / LORA_INDEX).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def fuse(pipeline: Any, lora: Lora) -> None:
    """Add the LoRA to the pipeline's weights: nothing is slower then, and every engine serves it.

    Raises whatever diffusers raises for a LoRA that does not fit the pipeline.
    """
    pipeline.load_lora_weights(lora.folder, weight_name=lora.weights, use_safetensors=True)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()


def _text(found: Any, key: str) -> str:
    value = found.get(key) if isinstance(found, dict) else None
    if not isinstance(value, str) or not value:
        raise ValueError(f"it has no {key!r}")

    return value

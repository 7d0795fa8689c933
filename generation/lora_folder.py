"""A model that is a base and a LoRA. Imports no model library.

It is either named in a spec (`LoraSpec`, which `OXHERD_LORAS` makes), or a folder with `lora.json`,
as `oxherd tune` writes it:

    {"base": "CompVis/stable-diffusion-v1-4", "base_revision": "133a221b8aa7…",
     "weights": "pytorch_lora_weights.safetensors"}

base: a name on the hub, a folder, or the name of the model that ships with oxherd. base_revision: a
commit of the hub, or the hash of the folder's content. weights: a file beside `lora.json`, as
diffusers loads it.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from generation import emoji
from generation.errors import BackendUnavailable
from generation.model_folder import (
    cached_file,
    check_hub,
    content_revision,
    fetched_file,
    not_found,
)
from generation.worker.specs import WEIGHTS, DiffusersSpec, LoraSpec

LORA_INDEX = "lora.json"
_KEYS = ("base", "base_revision", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """What is added to a base.

    base: what the engine loads first, a name on the hub or a folder. base_name: what is recorded of
    it, which is not a folder's path. base_revision: that it was made for; None for any.
    """

    spec: LoraSpec
    base: str
    base_name: str
    base_revision: str | None

    @property
    def name(self) -> str:
        """What is recorded of it, which is not a folder's path."""
        folder = self.spec.folder

        return self.spec.source if folder is None else folder.name

    @property
    def hub_revision(self) -> str | None:
        """The base's revision to ask the hub for; None for a base in a folder."""
        fixed = self.base_revision is not None and not self.base_revision.startswith("sha256:")

        return self.base_revision if fixed else None

    def file(self) -> Path:
        """The file with its weights; downloads one on the hub that is not in its local cache.

        Raises BackendUnavailable if it cannot be had.
        """
        spec = self.spec
        if spec.folder is not None:
            file: Path | None = spec.folder / spec.file
        else:
            try:
                file = fetched_file(spec.source, spec.file, revision=spec.revision)
            except Exception as exc:
                raise BackendUnavailable(not_found(spec.source, exc, what="LoRA")) from exc

        if file is None or not file.is_file():
            raise BackendUnavailable(f"The LoRA {spec.source!r} has no file {spec.file!r}.")

        return file

    def check(self) -> str:
        """Where it is, as a phrase; asks the hub only if it must.

        Raises BackendUnavailable if it cannot be had.
        """
        spec = self.spec
        if spec.folder is not None:
            return f"LoRA in {self.file().parent}"

        if cached_file(spec.source, spec.file, revision=spec.revision) is None:
            check_hub(spec.source, revision=spec.revision, what="LoRA")

        return f"LoRA {spec.source}"

    def revision(self, *, remembered: Path | None = None) -> str:
        """The commit of one on the hub, or a hash of a file's content; see content_revision."""
        if self.spec.revision is not None:
            return self.spec.revision

        file = self.file()

        return content_revision(file.parent, [file], remembered=remembered)

    def facts(self) -> dict[str, str]:
        """What a row says of it beside its name and revision; see DiffusersBackend."""
        spec = self.spec
        facts = {"base": self.base_name}
        if spec.file != WEIGHTS:
            facts["lora_file"] = spec.file
        if spec.weight != 1:
            facts["lora_weight"] = repr(spec.weight)
        if spec.few_steps is not None:
            facts["few_steps"] = spec.few_steps

        return facts


def base_of(spec: DiffusersSpec) -> tuple[DiffusersSpec, Lora | None]:
    """What is loaded first, and the LoRA that is added to it, if the model is one. The LoRA in a
    folder with `lora.json` is added to the base that stands there.

    Raises BackendUnavailable for a LoRA that cannot be used.
    """
    lora = _lora_of(spec)
    if lora is None:
        return spec, None

    revision = spec.revision if lora.base_revision is None else lora.hub_revision

    return replace(spec, model=lora.base, revision=revision, lora=None), lora


def _lora_of(spec: DiffusersSpec) -> Lora | None:
    if spec.lora is None:
        return lora_in(spec.model)

    inner, base = lora_in(spec.model), Path(spec.model).expanduser()
    if base.resolve() == spec.lora.folder:
        if inner is None:
            raise BackendUnavailable(
                f"The LoRA in {base} has no {LORA_INDEX} that names its base: say model= in "
                "OXHERD_LORAS."
            )

        own = replace(spec.lora, source=inner.spec.source, file=inner.spec.file)
        return replace(inner, spec=own)

    if inner is not None:
        raise BackendUnavailable(f"{spec.model} is a LoRA already, so none can be added to it.")

    return Lora(
        spec=spec.lora,
        base=spec.model,
        base_name=base.name if base.is_dir() else spec.model,
        base_revision=None,
    )


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
        spec=LoraSpec(source=str(folder.resolve()), file=weights),
        base=str(emoji.MODEL) if base == emoji.MODEL.name else base,
        base_name=Path(base).name if revision.startswith("sha256:") else base,
        base_revision=revision,
    )


def write_index(folder: Path, *, base: str, base_revision: str) -> None:
    """Write `lora.json` beside the weights."""
    named = emoji.MODEL.name if Path(base) == emoji.MODEL else base
    values = {"base": named, "base_revision": base_revision, "weights": WEIGHTS}
    (folder / LORA_INDEX).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _text(found: Any, key: str) -> str:
    value = found.get(key) if isinstance(found, dict) else None
    if not isinstance(value, str) or not value:
        raise ValueError(f"it has no {key!r}")

    return value

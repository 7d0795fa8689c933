"""The models that the settings offer, by the names that members choose. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from generation.worker.specs import WEIGHTS, LoraSpec

LONGEST_NAME = 100  # of a choice on Discord
MOST = 25  # choices on Discord
_FOLDERS = ("/", ".", "~")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_KEYS = ("name", "lora", "file", "model", "weight", "few", "steps", "guidance")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """name: what members see; model and revision: what is loaded, and lora what is added to it.

    steps, guidance: the defaults; None for those of the settings, or of the model.
    """

    name: str
    model: str
    revision: str | None
    lora: LoraSpec | None = None
    steps: int | None = None
    guidance: float | None = None


def offered_models(
    model: str, revision: str | None, more: Sequence[str], loras: Sequence[str] = ()
) -> tuple[OfferedModel, ...]:
    """The default, then the others, each written as MODEL, MODEL@REVISION or a folder's path, then
    the LoRAs, each written as in `lora_model`.

    A model's name is the last part of its name on the hub, or of its folder's path. Raises
    ValueError with a sentence for one that cannot be told from another by its name.
    """
    default = OfferedModel(name=PurePath(model).name, model=model, revision=revision)
    offered = (
        default,
        *map(named_model, more),
        *(lora_model(text, default=default) for text in loras),
    )
    names = [each.name for each in offered]
    for each in offered:
        setting = "OXHERD_MORE_MODELS" if each.lora is None else "OXHERD_LORAS"
        if not 1 <= len(each.name) <= LONGEST_NAME:
            raise ValueError(f"{setting}: {each.model!r} has no usable name")

        if names.count(each.name) > 1:
            raise ValueError(
                f"{setting}: members would see two models called {each.name!r}. Write a revision "
                "after one (MODEL@REVISION), give its folder another name, or give a LoRA another "
                "name (name=…)"
            )

    if len(offered) > MOST:
        raise ValueError(
            f"OXHERD_MORE_MODELS and OXHERD_LORAS: {len(offered)} models are offered in all; "
            f"Discord shows {MOST}"
        )

    return offered


def named_model(text: str) -> OfferedModel:
    """The model that is written as MODEL, MODEL@REVISION or a folder's path."""
    model, revision = _model_and_revision(text)
    if revision is None:
        return OfferedModel(name=PurePath(text).name, model=text, revision=None)

    return OfferedModel(name=f"{PurePath(model).name}@{revision}", model=model, revision=revision)


def lora_model(text: str, *, default: OfferedModel) -> OfferedModel:
    """The model that is a LoRA and its base, written as `name=fast lora=NAME@COMMIT few=lcm`.

    default: the base of a LoRA on the hub, unless one is named. Raises ValueError with a sentence.
    """
    words = _words(text)
    source, revision = _model_and_revision(words.get("lora", ""))
    if not source:
        raise ValueError(f"OXHERD_LORAS: {text!r} has no lora=NAME@COMMIT or lora=FOLDER")

    on_hub = not source.startswith(_FOLDERS)
    if on_hub and not _COMMIT.fullmatch(revision or ""):
        raise ValueError(
            f"OXHERD_LORAS: {source!r} has no commit of 40 hexadecimal digits. Write "
            f"lora={source}@COMMIT, so that its images can be made again"
        )

    try:
        lora = LoraSpec(
            source=source,
            revision=revision,
            file=words.get("file", WEIGHTS),
            weight=float(words.get("weight", 1)),
            few_steps=words.get("few"),
        )
        steps = int(words["steps"]) if "steps" in words else None
        guidance = float(words["guidance"]) if "guidance" in words else None
    except ValueError as exc:
        raise ValueError(f"OXHERD_LORAS: {text!r}: {exc}") from exc

    if steps is not None and steps < 1:
        raise ValueError(f"OXHERD_LORAS: {text!r}: steps must be 1 or more")

    if guidance is not None and not 0 <= guidance <= 100:  # refuses NaN too
        raise ValueError(f"OXHERD_LORAS: {text!r}: guidance must be from 0 to 100")

    base, base_revision = default.model, default.revision
    if "model" in words:
        base, base_revision = _model_and_revision(words["model"])
    elif not on_hub:
        base, base_revision = source, None  # its lora.json names it

    return OfferedModel(
        name=words.get("name", PurePath(source).name),
        model=base,
        revision=base_revision,
        lora=lora,
        steps=steps,
        guidance=guidance,
    )


def _words(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in text.split():
        key, _, value = word.partition("=")
        if key not in _KEYS or not value or key in found:
            raise ValueError(
                f"OXHERD_LORAS: {word!r} is not one of {', '.join(f'{key}=…' for key in _KEYS)}, "
                "each once"
            )

        found[key] = value

    return found


def _model_and_revision(text: str) -> tuple[str, str | None]:
    model, at, revision = text.rpartition("@")
    if not at or text.startswith(_FOLDERS):
        return text, None

    return model, revision

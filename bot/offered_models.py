"""The models that the settings offer, by the names that members choose. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

LONGEST_NAME = 100  # of a choice on Discord
_FOLDERS = ("/", ".", "~")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """name: what members see; model and revision: what is loaded."""

    name: str
    model: str
    revision: str | None


def offered_models(
    model: str, revision: str | None, more: Sequence[str]
) -> tuple[OfferedModel, ...]:
    """The default, and then the others, each written as MODEL, MODEL@REVISION or a folder's path.

    A model's name is the last part of its name on the hub, or of its folder's path. Raises
    ValueError with a sentence for one that cannot be told from another by its name.
    """
    default = OfferedModel(name=PurePath(model).name, model=model, revision=revision)
    offered = (default, *map(named_model, more))
    names = [each.name for each in offered]
    for each in offered:
        if not 1 <= len(each.name) <= LONGEST_NAME:
            raise ValueError(f"OXHERD_MORE_MODELS: {each.model!r} has no usable name")

        if names.count(each.name) > 1:
            raise ValueError(
                f"OXHERD_MORE_MODELS: members would see two models called {each.name!r}. Write a "
                "revision after one (MODEL@REVISION), or give its folder another name"
            )

    return offered


def named_model(text: str) -> OfferedModel:
    """The model that is written as MODEL, MODEL@REVISION or a folder's path."""
    model, at, revision = text.rpartition("@")
    if not at or text.startswith(_FOLDERS):
        return OfferedModel(name=PurePath(text).name, model=text, revision=None)

    return OfferedModel(name=f"{PurePath(model).name}@{revision}", model=model, revision=revision)

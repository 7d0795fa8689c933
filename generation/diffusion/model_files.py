"""Reads the files of a model in diffusers' layout: its index, and the number of its weights."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INDEX = "model_index.json"


def read_index(folder: Path) -> Mapping[str, Any]:
    """The model's index: each component's library and class, and the pipeline's settings.

    Raises OSError or ValueError for a folder that holds no readable model.
    """
    index: dict[str, Any] = json.loads((folder / INDEX).read_bytes())

    return index


def model_files(folder: Path) -> list[Path]:
    """The index, and all files in the components' folders.

    Raises OSError or ValueError for a folder that holds no readable model.
    """
    files = [folder / INDEX]
    for component in _component_folders(folder):
        files += [file for file in component.rglob("*") if file.is_file()]

    return files


def count_weights(folder: Path, *, variant: str | None) -> int:
    """The number of weights in the files that diffusers loads; reads their headers only.

    Components in an older format than safetensors count as 4 bytes a weight. Raises OSError or
    ValueError for a folder that holds no readable model.
    """
    return sum(_weights_of(component, variant) for component in _component_folders(folder))


def _component_folders(folder: Path) -> list[Path]:
    places = [folder / name for name in read_index(folder) if not name.startswith("_")]

    return [place for place in places if place.is_dir()]


def _weights_of(component: Path, variant: str | None) -> int:
    files = sorted(component.glob("*.safetensors"))
    if not files:
        return sum(file.stat().st_size for file in component.glob("*.bin")) // 4

    chosen = [file for file in files if _variant_of(file) == variant]

    # A component without the variant is loaded without one.
    return sum(
        _weights_in(file) for file in chosen or [file for file in files if not _variant_of(file)]
    )


def _variant_of(file: Path) -> str | None:
    """ "fp16" of `model.fp16.safetensors` and of `model.fp16-00001-of-00002.safetensors`."""
    middle = re.sub(r"-\d+-of-\d+$", "", file.stem).partition(".")[2]

    return middle or None


def _weights_in(file: Path) -> int:
    """A safetensors file begins with the length of its header, which is JSON."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(length))

    return sum(
        math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"
    )

"""Reads the files of a model in diffusers' layout: index, scheduler, number of weights."""

import json
import math
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from generation.families import INDEX
from generation.model_traits import read_settings

_NO_SEED = "DPMSolverSDEScheduler"
"""Draws its noise from torch's global generator, so that a seed does not make its image again."""

_NEEDS_SCIPY = "LMSDiscreteScheduler"
"""Integrates with scipy, which oxherd does not install."""


_PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")


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


def scheduler_problem(folder: Path) -> str | None:
    """Why the scheduler of the model in the folder cannot serve, and what to do; None if it can.

    Raises OSError or ValueError for a folder that holds no readable model.
    """
    _, scheduler = read_index(folder).get("scheduler") or ("", "")
    if scheduler == _NO_SEED:
        return (
            f"Its scheduler, {scheduler}, draws noise that the seeds do not determine, so no image "
            "could be made again. Choose a different one in its folder scheduler, such as "
            "DPMSolverMultistepScheduler with the algorithm_type sde-dpmsolver++."
        )

    settings = read_settings(folder, "scheduler/scheduler_config.json")
    beta_sigmas = settings.get("use_beta_sigmas")
    if (scheduler == _NEEDS_SCIPY or beta_sigmas) and find_spec("scipy") is None:
        return f"Its scheduler, {scheduler}, needs scipy: pip install scipy"

    return None


def pickled_components(folder: Path) -> list[str]:
    """The components whose weights are not in safetensors but in pickles.

    Raises OSError or ValueError for a folder that holds no readable model.
    """
    return [
        component.name
        for component in _component_folders(folder)
        if not _has(component, ".safetensors") and _has(component, *_PICKLES)
    ]


def _has(component: Path, *suffixes: str) -> bool:
    return any(file.suffix in suffixes for file in component.iterdir())


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

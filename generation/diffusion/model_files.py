"""The files of a model in diffusers' layout: what they contain, and which engine serves it."""

import json
import math
import re
from pathlib import Path

from generation.diffusion.engine import OWN, choose_engine
from generation.errors import BackendUnavailable, root_cause
from generation.model_folder import cached_file, check_hub, local_folder
from generation.worker.backend import Finding

INDEX = "model_index.json"


def model_files(folder: Path) -> list[Path]:
    """The index, and the files of the parts that it names.

    Raises OSError or ValueError for a folder that holds no readable model.
    """
    parts = [part for part in _parts(folder) if part.is_dir()]

    return [
        folder / INDEX,
        *(file for part in parts for file in part.rglob("*") if file.is_file()),
    ]


def _parts(folder: Path) -> list[Path]:
    index = json.loads((folder / INDEX).read_bytes())

    return [folder / name for name in index if not name.startswith("_")]


def count_weights(folder: Path, *, variant: str | None) -> int:
    """How many numbers the weights consist of, according to the headers of their files.

    Parts in an older format than safetensors are assumed to have 4 bytes a number.
    Raises OSError or ValueError for a folder that holds no readable model.
    """
    return sum(_weights_of(part, variant) for part in _parts(folder) if part.is_dir())


def _weights_of(part: Path, variant: str | None) -> int:
    files = sorted(part.glob("*.safetensors"))
    chosen = [file for file in files if _variant_of(file) == variant]
    if chosen or files:
        # A part without this variant is loaded without one.
        return sum(
            _numbers_in(file)
            for file in chosen or [file for file in files if _variant_of(file) is None]
        )

    return sum(file.stat().st_size for file in part.glob("*.bin")) // 4


def _variant_of(file: Path) -> str | None:
    """ "fp16" of `model.fp16.safetensors` and of `model.fp16-00001-of-00002.safetensors`."""
    middle = re.sub(r"-\d+-of-\d+$", "", file.stem).partition(".")[2]

    return middle or None


def _numbers_in(file: Path) -> int:
    """A safetensors file begins with the length of its header, which is JSON."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(length))

    return sum(
        math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"
    )


def check_model(model: str, *, revision: str | None) -> Finding:
    """Whether the model is here or can be downloaded; asks the hub only if it must."""
    try:
        if local_folder(model, index=INDEX):
            return Finding(subject="model", ok=True, detail=f"folder {model}")

        if cached_file(model, INDEX, revision=revision):
            return Finding(subject="model", ok=True, detail=f"{model} in the hub's local cache")

        check_hub(model, revision=revision, what="model")
    except BackendUnavailable as exc:
        return Finding(subject="model", ok=False, detail=exc.reason)

    return Finding(subject="model", ok=True, detail=f"{model} on the hub; loading will download it")


def check_engine(model: str, *, revision: str | None) -> Finding:
    """Which engine will serve the model, from its index, without loading it or asking the hub."""
    folder = local_folder(model, index=INDEX)
    index = cached_file(model, INDEX, revision=revision) if folder is None else folder / INDEX
    if index is None:
        return Finding(subject="engine", ok=True, detail="known once the model is downloaded")

    try:
        choice = choose_engine(json.loads(index.read_bytes()))
    except (OSError, ValueError) as exc:
        detail = f"{index} cannot be read, so the model is damaged: {root_cause(exc)}"
        return Finding(subject="engine", ok=False, detail=detail)

    what = "oxherd's own denoising loop" if choice.name == OWN else "the model's own pipeline"

    return Finding(subject="engine", ok=True, detail=f"{what}, for {choice.reason}")

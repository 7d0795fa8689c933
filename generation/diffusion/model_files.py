"""Where a model in diffusers' layout is: a folder, the hub's local cache, or the hub."""

import hashlib
import json
import logging
import math
import os
import re
from pathlib import Path

from huggingface_hub import HfApi, try_to_load_from_cache

from generation.diffusion.engine import OWN, choose_engine
from generation.errors import BackendUnavailable, root_cause
from generation.worker.backend import Finding

log = logging.getLogger(__name__)

INDEX = "model_index.json"

_REACH_S = 10.0


def local_folder(model: str) -> Path | None:
    """The folder that the setting names, or None when it must be a name on the hub.

    Raises BackendUnavailable for a folder without a model, or a path that leads nowhere.
    """
    folder = Path(model).expanduser()
    if (folder / INDEX).is_file():
        return folder.resolve()

    if folder.is_dir():
        raise BackendUnavailable(f"The folder {folder} holds no {INDEX}: not a diffusers model.")

    if model.startswith(("/", ".", "~")):
        raise BackendUnavailable(f"The model's folder {folder} does not exist.")

    return None


def content_revision(folder: Path, *, remembered: Path | None = None) -> str:
    """A name for exactly this content: it changes when a file that is loaded changes.

    Covers the index and the folders of the parts that it names; a README or a checkpoint in
    another format beside them does not count. Reads every byte, so gigabytes take seconds, unless
    the file `remembered`, which is kept up to date, knows a file of the model as it is.
    Raises OSError or ValueError for a folder that holds no readable model.
    """
    known = {} if remembered is None else _remembered(remembered)
    index = json.loads((folder / INDEX).read_bytes())
    parts = [folder / name for name in index if not name.startswith("_")]
    files = [folder / INDEX]
    files += [file for part in parts if part.is_dir() for file in part.rglob("*") if file.is_file()]

    digests: dict[str, str] = {}
    whole = hashlib.sha256()
    for file in sorted(files):
        state = _state(file)
        digests[state] = digest = known.get(state) or _digest(file)
        whole.update(f"{digest}  {file.relative_to(folder).as_posix()}\n".encode())

    if remembered is not None and not digests.items() <= known.items():
        _remember(remembered, known | digests)

    return f"sha256:{whole.hexdigest()}"


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _state(file: Path) -> str:
    """Another text whenever the file may have become another one. Its path is not in it."""
    found = file.stat()

    return " ".join(
        map(str, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    )


def _remembered(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError):  # not there yet, or torn: it is only a memory
        return {}

    return known if isinstance(known, dict) else {}


def _remember(file: Path, digests: dict[str, str]) -> None:
    unfinished = file.with_suffix(f".{os.getpid()}")
    try:
        unfinished.write_text(json.dumps(digests), encoding="utf-8")
        unfinished.replace(file)
    except OSError as exc:
        log.warning("hashes of the model's files cannot be remembered: %s", exc)


def count_weights(folder: Path, *, variant: str | None) -> int:
    """How many numbers the model's parts hold, as far as their files say; reads headers only.

    Parts in an older format than safetensors are counted as if of 4 bytes a number.
    Raises OSError or ValueError for a folder that holds no readable model.
    """
    index = json.loads((folder / INDEX).read_bytes())
    parts = [folder / name for name in index if not name.startswith("_")]

    return sum(_weights_of(part, variant) for part in parts if part.is_dir())


def _weights_of(part: Path, variant: str | None) -> int:
    files = sorted(part.glob("*.safetensors"))
    chosen = [file for file in files if _variant_of(file) == variant]
    if chosen or files:
        # A part of which there is no such variant is loaded without one.
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
    """Whether the model is at hand or could be fetched; asks the hub only if it must."""
    try:
        if local_folder(model):
            return Finding(subject="model", ok=True, detail=f"folder {model}")

        if try_to_load_from_cache(model, INDEX, revision=revision or "main"):
            return Finding(subject="model", ok=True, detail=f"{model} in the hub's local cache")

        HfApi().model_info(model, revision=revision, timeout=_REACH_S)
    except BackendUnavailable as exc:
        return Finding(subject="model", ok=False, detail=exc.reason)
    except Exception as exc:  # noqa: BLE001 - the finding tells it
        return Finding(subject="model", ok=False, detail=not_found(model, exc))

    return Finding(subject="model", ok=True, detail=f"{model} on the hub; loading will download it")


def check_engine(model: str, *, revision: str | None) -> Finding:
    """What will denoise for the model, read off its index without loading it or asking the hub."""
    if folder := local_folder(model):
        index = folder / INDEX
    elif cached := try_to_load_from_cache(model, INDEX, revision=revision or "main"):
        index = Path(str(cached))
    else:
        return Finding(subject="engine", ok=True, detail="known once the model is downloaded")

    try:
        choice = choose_engine(json.loads(index.read_bytes()))
    except (OSError, ValueError) as exc:
        detail = f"{index} cannot be read, so the model is damaged: {root_cause(exc)}"
        return Finding(subject="engine", ok=False, detail=detail)

    what = "oxherd's own denoising loop" if choice.name == OWN else "the model's own pipeline"

    return Finding(subject="engine", ok=True, detail=f"{what}, for {choice.reason}")


def not_found(model: str, exc: BaseException) -> str:
    """The sentence for a model on the hub that cannot be had."""
    return (
        f"The model {model!r} is not a folder here, not complete in the hub's local cache, and "
        f"could not be fetched: {root_cause(exc)}. Check its name and the network, or name a "
        "folder that holds a model."
    )

"""What `doctor` reports about the device and the model, found without loading the model."""

from generation.diffusion.device import device_name, require_device
from generation.diffusion.engine import OWN, choose_engine
from generation.diffusion.model_files import INDEX, read_index
from generation.errors import BackendUnavailable, root_cause
from generation.model_folder import cached_file, check_hub, local_folder
from generation.worker.backend import Finding
from generation.worker.specs import DiffusersSpec


def check_device(device: str) -> Finding:
    """Whether torch can use the device."""
    try:
        require_device(device)
    except BackendUnavailable as exc:
        return Finding(subject="device", ok=False, detail=exc.reason)

    return Finding(subject="device", ok=True, detail=device_name(device))


def check_model(spec: DiffusersSpec) -> Finding:
    """Whether the model is on this machine or can be downloaded; asks the hub only if it must."""
    try:
        if local_folder(spec.model, index=INDEX):
            detail = f"folder {spec.model}"
        elif cached_file(spec.model, INDEX, revision=spec.revision):
            detail = f"{spec.model} in the hub's local cache"
        else:
            check_hub(spec.model, revision=spec.revision, what="model")
            detail = f"{spec.model} on the hub; loading will download it"
    except BackendUnavailable as exc:
        return Finding(subject="model", ok=False, detail=exc.reason)

    return Finding(subject="model", ok=True, detail=detail)


def check_engine(spec: DiffusersSpec) -> Finding:
    """Which engine will serve the model, according to its index; never asks the hub.

    Raises BackendUnavailable where `check_model` reports an error for a folder.
    """
    folder = local_folder(spec.model, index=INDEX)
    if folder is None and (cached := cached_file(spec.model, INDEX, revision=spec.revision)):
        folder = cached.parent

    if folder is None:
        return Finding(subject="engine", ok=True, detail="known once the model is downloaded")

    try:
        choice = choose_engine(read_index(folder))
    except (OSError, ValueError) as exc:
        detail = f"{folder / INDEX} cannot be read, so the model is damaged: {root_cause(exc)}"
        return Finding(subject="engine", ok=False, detail=detail)

    engine = "oxherd's own denoising loop" if choice.name == OWN else "the model's own pipeline"

    return Finding(subject="engine", ok=True, detail=f"{engine}, because {choice.reason}")

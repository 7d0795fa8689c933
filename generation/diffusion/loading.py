"""Finds a model, in a folder or on the hub, and loads its pipeline onto a device."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import DiffusionPipeline

from generation.diffusion.model_files import (
    INDEX,
    model_files,
    pickled_components,
    scheduler_problem,
)
from generation.errors import BackendUnavailable, OutOfMemory, root_cause
from generation.lora_folder import Lora, fuse, lora_in
from generation.model_folder import content_revision, local_folder, not_found
from generation.worker.specs import DiffusersSpec

_PARAMETERS = {"prompt", "num_images_per_prompt", "generator", "callback_on_step_end"}
"""What a pipeline's call must take: they make images from text, and report each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """Where a model's files are. `on_hub`: it is the hub's local copy, named by its commit.

    lora: what is added to it; None for a model as it is.
    """

    path: Path
    on_hub: bool
    lora: Lora | None = None


def base_of(spec: DiffusersSpec) -> tuple[DiffusersSpec, Lora | None]:
    """What is loaded first, and the LoRA that is added to it, if the model is one.

    Raises BackendUnavailable for a LoRA that cannot be used.
    """
    lora = lora_in(spec.model)
    if lora is None:
        return spec, None

    return replace(spec, model=lora.base, revision=lora.hub_revision), lora


def find_model(spec: DiffusersSpec) -> ModelFolder:
    """The model's folder; downloads a model on the hub that is not in its local cache.

    Raises BackendUnavailable for a model that cannot be found or fetched.
    """
    base, lora = base_of(spec)
    if folder := local_folder(base.model, index=INDEX):
        return ModelFolder(path=folder, on_hub=False, lora=lora)

    try:
        copy = DiffusionPipeline.download(
            base.model,
            revision=base.revision,
            variant=spec.variant,
            use_safetensors=None if spec.allow_pickles else True,
        )
    except Exception as exc:
        raise BackendUnavailable(not_found(base.model, exc, what="model")) from exc

    return ModelFolder(path=Path(copy), on_hub=True, lora=lora)


def base_revision(model: ModelFolder, *, remembered: Path | None = None) -> str:
    """The commit of a model on the hub, or a hash of a local folder's content; without the LoRA.

    remembered: see content_revision.
    """
    if model.on_hub:
        return model.path.name

    return content_revision(model.path, model_files(model.path), remembered=remembered)


def load_pipeline(model: ModelFolder, spec: DiffusersSpec, *, device: str) -> DiffusionPipeline:
    """The model's pipeline, on the device or offloaded.

    Raises BackendUnavailable for a pipeline that does not make images from text step by step, whose
    scheduler cannot serve, or whose weights are pickles that are not allowed; and whatever
    diffusers raises.
    """
    folder = model.path
    if problem := scheduler_problem(folder):
        raise BackendUnavailable(f"The model {spec.model!r} cannot be used. {problem}")

    require_no_pickles(folder, spec)
    pipeline = DiffusionPipeline.from_pretrained(
        folder,
        dtype=torch_dtype(spec, device=device),
        variant=spec.variant,
        use_safetensors=None if spec.allow_pickles else True,
    )
    missing = _PARAMETERS - set(inspect.signature(pipeline.__call__).parameters)
    if missing:
        raise BackendUnavailable(
            f"{spec.model} is a {type(pipeline).__name__}, whose call does not take "
            f"{', '.join(sorted(missing))}. These are needed to make images from text and to stop "
            "between two steps."
        )

    if model.lora is not None:
        fuse(pipeline, model.lora)  # on the CPU, so that every device gets the same weights

    if spec.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)

    pipeline.set_progress_bar_config(disable=True)

    return pipeline


def require_no_pickles(folder: Path, spec: DiffusersSpec) -> None:
    """Raises BackendUnavailable if components have no weights but pickles, unless allowed."""
    pickled = ", ".join(pickled_components(folder))
    if pickled and not spec.allow_pickles:
        raise BackendUnavailable(
            f"The weights of {spec.model!r} are pickles ({pickled}), which can run code when they "
            "are loaded. Choose a model with safetensors, or set OXHERD_ALLOW_PICKLES=true if you "
            "trust this one."
        )


def torch_dtype(spec: DiffusersSpec, *, device: str) -> torch.dtype:
    """The weights' dtype on the device."""
    match spec.dtype:
        case "auto":
            return torch.float16 if device.startswith("cuda") else torch.float32
        case "float32":
            return torch.float32
        case "float16":
            return torch.float16
        case "bfloat16":
            return torch.bfloat16


@contextmanager
def loading_errors(model: str) -> Iterator[None]:
    """Raises BackendUnavailable for whatever a damaged model makes the libraries raise."""
    try:
        yield
    except (BackendUnavailable, OutOfMemory):
        raise
    except Exception as exc:
        raise BackendUnavailable(
            f"The model {model!r} was found, but could not be loaded: {root_cause(exc)}"
        ) from exc

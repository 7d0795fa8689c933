"""Finds a model, in a folder or on the hub, and loads its pipeline onto a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

import diffusers
import torch
from diffusers import DiffusionPipeline

from generation.diffusion.faster.quantized import quantize
from generation.diffusion.model_files import (
    model_files,
    pickled_components,
    scheduler_problem,
)
from generation.diffusion.pipeline_engine import call_problem
from generation.errors import BackendUnavailable, OutOfMemory, root_cause
from generation.families import INDEX, UNKNOWN, Traits, known_traits
from generation.few_steps import FEW_STEPS
from generation.lora_folder import Lora, base_of
from generation.model_folder import content_revision, local_folder, not_found
from generation.model_traits import read_settings
from generation.worker.specs import DiffusersSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """Where a model's files are. `on_hub`: it is the hub's local copy, named by its commit.

    lora: what is added to it; None for a model as it is.
    """

    path: Path
    on_hub: bool
    lora: Lora | None = None


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


def family_traits(folder: Path, spec: DiffusersSpec) -> Traits | None:
    """What the table says of the model, or of the base of a LoRA; None if it does not know it.

    Raises OSError or ValueError for a folder that holds no readable model.
    """
    base, lora = base_of(spec)
    takes = known_traits(PurePath(base.model).name, partial(read_settings, folder))

    return takes if takes is None or lora is None else lora.spec.applied(takes)


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
        dtype=torch_dtype(spec, family_traits(folder, spec), device=device),
        variant=spec.variant,
        use_safetensors=None if spec.allow_pickles else True,
    )
    if problem := call_problem(type(pipeline)):
        raise BackendUnavailable(f"The model {spec.model!r} cannot be used. {problem}")

    if model.lora is not None:
        add_lora(pipeline, model.lora)  # on the CPU, so that every device gets the same weights

    if spec.quantize != "none":
        quantize(pipeline, spec.quantize)

    if spec.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)

    pipeline.set_progress_bar_config(disable=True)

    return pipeline


def add_lora(pipeline: DiffusionPipeline, lora: Lora) -> None:
    """Add the LoRA to the pipeline's weights: nothing is slower then, and every engine serves it.

    One for a few steps brings its scheduler. Raises BackendUnavailable, and whatever diffusers
    raises for a LoRA that does not fit the pipeline.
    """
    file = lora.file()
    pipeline.load_lora_weights(file.parent, weight_name=file.name, use_safetensors=True)
    pipeline.fuse_lora(lora_scale=lora.spec.weight)
    pipeline.unload_lora_weights()
    if lora.spec.few_steps is not None:
        usual = FEW_STEPS[lora.spec.few_steps]
        scheduler = getattr(diffusers, usual.scheduler)
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **usual.settings)


def require_no_pickles(folder: Path, spec: DiffusersSpec) -> None:
    """Raises BackendUnavailable if components have no weights but pickles, unless allowed."""
    pickled = ", ".join(pickled_components(folder))
    if pickled and not spec.allow_pickles:
        raise BackendUnavailable(
            f"The weights of {spec.model!r} are pickles ({pickled}), which can run code when they "
            "are loaded. Choose a model with safetensors, or set OXHERD_ALLOW_PICKLES=true if you "
            "trust this one."
        )


def torch_dtype(spec: DiffusersSpec, takes: Traits | None, *, device: str) -> torch.dtype:
    """The weights' dtype on the device. takes: what the table says of the model."""
    name: str = spec.dtype
    if name == "auto":
        name = (takes or UNKNOWN).dtype if device.startswith("cuda") else "float32"

    dtype: torch.dtype = getattr(torch, name)

    return dtype


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

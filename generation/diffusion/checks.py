"""What `doctor` reports about the device and the model, found without loading the model."""

from collections.abc import Sequence
from pathlib import Path

import diffusers
import torch

from generation.diffusion.compile.compiler import can_compile
from generation.diffusion.compile.layout import pays
from generation.diffusion.device import device_name, is_slow_on_cpu, require_device
from generation.diffusion.engine import OWN, choose_engine
from generation.diffusion.faster.attention import NATIVE, attention_problem
from generation.diffusion.faster.quantized import quantizing_problem
from generation.diffusion.faster.step_cache import cache_problem
from generation.diffusion.loading import family_traits, require_no_pickles, torch_dtype
from generation.diffusion.model_files import (
    count_weights,
    pickled_components,
    read_index,
    scheduler_problem,
)
from generation.diffusion.pipeline_engine import call_problem, traits_by_signature
from generation.errors import BackendUnavailable, root_cause
from generation.families import INDEX, UNKNOWN, Traits
from generation.lora_folder import base_of
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
        spec, lora = base_of(spec)
        if folder := local_folder(spec.model, index=INDEX):
            detail = f"folder {spec.model}{_pickles(folder, spec)}"
        elif index := cached_file(spec.model, INDEX, revision=spec.revision):
            detail = f"{spec.model} in the hub's local cache{_pickles(index.parent, spec)}"
        else:
            check_hub(spec.model, revision=spec.revision, what="model")
            detail = f"{spec.model} on the hub; loading will download it"
    except BackendUnavailable as exc:
        return Finding(subject="model", ok=False, detail=exc.reason)

    if lora is not None:
        try:
            detail = f"{lora.check()}, added to {detail}"
        except BackendUnavailable as exc:
            return Finding(subject="model", ok=False, detail=exc.reason)

    return Finding(subject="model", ok=True, detail=detail)


def _pickles(folder: Path, spec: DiffusersSpec) -> str:
    """A phrase about weights that are pickles; empty without any. Raises BackendUnavailable."""
    try:
        require_no_pickles(folder, spec)
        pickled = pickled_components(folder)
    except (OSError, ValueError):
        return ""  # a damaged model, which `check_engine` reports

    return f"; these are pickles, which can run code: {', '.join(pickled)}" if pickled else ""


def known_folder(spec: DiffusersSpec) -> Path | None:
    """The folder with the model's index, if it is here; never asks the hub.

    Raises BackendUnavailable where `check_model` reports an error for a folder.
    """
    base, _ = base_of(spec)
    if folder := local_folder(base.model, index=INDEX):
        return folder

    cached = cached_file(base.model, INDEX, revision=base.revision)

    return None if cached is None else cached.parent


def check_family(spec: DiffusersSpec, folder: Path, *, device: str) -> Finding:
    """Which family the model in the folder is of, and what is known and not known of it."""
    try:
        takes = family_traits(folder, spec)
        name = str(read_index(folder).get("_class_name"))
        weights = count_weights(folder, variant=spec.variant)
    except (OSError, ValueError):
        return Finding(subject="family", ok=True, detail="not known, because it cannot be read")

    if takes is not None:
        size = weights * torch_dtype(spec, takes, device=device).itemsize
        # In the hub's cache, some of the files may not be here yet.
        memory = f"; its weights take {size / 1e9:.1f} GB on {device}" if weights else ""
        detail = f"{takes.family}: {takes.described()}{memory}"
        return Finding(subject="family", ok=True, detail=detail)

    pipeline = getattr(diffusers, name, None)
    if pipeline is None:
        detail = f"diffusers {diffusers.__version__} has no {name}. Install a newer one."
        return Finding(subject="family", ok=False, detail=detail)

    if problem := call_problem(pipeline):
        return Finding(subject="family", ok=False, detail=problem)

    return Finding(subject="family", ok=True, detail=_by_signature(name, pipeline))


def _by_signature(name: str, pipeline: type) -> str:
    takes: Traits = traits_by_signature(pipeline)
    unsure = [
        *(["guidance"] if takes.guidance else []),
        *(["a negative prompt"] if takes.negative_prompt else []),
    ]
    effect = f"the effect of {' and '.join(unsure)}, " if unsure else ""

    return (
        f"{name} is not in the table of docs/models.md, so it is served by its signature: "
        f"{takes.steps} steps unless set. Not known: {effect}which sizes it makes, and its number "
        "format (bfloat16 on CUDA, unless OXHERD_DTYPE is set)"
    )


def check_engine(folder: Path | None) -> Finding:
    """Which engine will serve the model in the folder, according to its index."""
    if folder is None:
        return Finding(subject="engine", ok=True, detail="known once the model is downloaded")

    try:
        choice, problem = choose_engine(read_index(folder)), scheduler_problem(folder)
    except (OSError, ValueError) as exc:
        detail = f"{folder} cannot be read, so the model is damaged: {root_cause(exc)}"
        return Finding(subject="engine", ok=False, detail=detail)

    if problem is not None:
        return Finding(subject="engine", ok=False, detail=problem)

    engine = "oxherd's own denoising loop" if choice.name == OWN else "the model's own pipeline"

    return Finding(subject="engine", ok=True, detail=f"{engine}, because {choice.reason}")


def check_dtype(spec: DiffusersSpec, *, device: str) -> Sequence[Finding]:
    """Says so where the weights' dtype makes the device slow; else nothing."""
    if device != "cpu" or not is_slow_on_cpu(torch_dtype(spec, None, device=device)):
        return []

    return [
        Finding(
            subject="dtype",
            ok=False,
            detail="This CPU has no instructions for bfloat16, so it would be about ten times "
            "slower than float32: set OXHERD_DTYPE=float32.",
        )
    ]


def check_compiling(spec: DiffusersSpec, *, device: str) -> Sequence[Finding]:
    """Whether torch can make the compiled version that is wanted; nothing where none is."""
    if spec.compile != "on" and not (spec.compile == "auto" and pays(device)):
        return []

    if not can_compile():
        detail = f"torch {torch.__version__} cannot compile ahead of time. Install a newer one."
        return [Finding(subject="compiling", ok=False, detail=detail)]

    detail = f"torch {torch.__version__} can compile the model ahead of time"

    return [Finding(subject="compiling", ok=True, detail=detail)]


def check_attention(spec: DiffusersSpec, folder: Path | None, *, device: str) -> Sequence[Finding]:
    """Whether the kernels that are set can compute attention, and have an effect; nothing where
    torch chooses. folder: the model's, if it is here."""
    if spec.attention == NATIVE:
        return []

    takes = _traits_in(folder, spec)
    dtype = torch_dtype(spec, takes, device=device)
    if problem := attention_problem(spec.attention, device=device, dtype=dtype):
        return [Finding(subject="attention", ok=False, detail=problem)]

    if takes is None:
        detail = f"{spec.attention}, if diffusers lets the model's attention be chosen"
    elif takes.chooses_attention:
        detail = f"{spec.attention}, once the model has made an image with it when it is loaded"
    else:
        detail = f"torch chooses: {spec.attention} has no effect on {takes.family}"

    return [Finding(subject="attention", ok=True, detail=detail)]


def check_step_cache(spec: DiffusersSpec, folder: Path | None) -> Sequence[Finding]:
    """Whether the model's steps can be cached; nothing where they are not to be. folder: the
    model's, if it is here."""
    if spec.step_cache is None:
        return []

    problem, detail = None, "known once the model is downloaded"
    if folder is not None:
        problem = cache_problem(_traits_in(folder, spec) or UNKNOWN)
        detail = f"steps that change less than {spec.step_cache:g} are skipped; images change"

    return [Finding(subject="step cache", ok=problem is None, detail=problem or detail)]


def check_quantizing(spec: DiffusersSpec) -> Sequence[Finding]:
    """Whether the weights can be rounded; nothing where they are not to be."""
    if spec.quantize == "none":
        return []

    problem = quantizing_problem()
    detail = f"the weights are rounded to {spec.quantize}; images change, and nothing is compiled"

    return [Finding(subject="quantizing", ok=problem is None, detail=problem or detail)]


def _traits_in(folder: Path | None, spec: DiffusersSpec) -> Traits | None:
    """What the table says of the model, if it is here and can be read."""
    if folder is None:
        return None

    try:
        return family_traits(folder, spec)
    except (OSError, ValueError):
        return None  # a damaged model, which `check_engine` reports

"""What made an image, as far as it changes the image's bytes."""

import platform
from collections.abc import Mapping
from importlib.metadata import version

import torch
from diffusers import DiffusionPipeline

from generation.diffusion.device import device_name
from generation.request import Provenance

_LIBRARIES = ("accelerate", "diffusers", "pillow", "transformers")


def provenance_of(
    pipeline: DiffusionPipeline,
    *,
    model: str,
    revision: str,
    device: str,
    dtype: torch.dtype,
    facts: Mapping[str, str],
) -> Provenance:
    """What makes the images of a loaded model. `facts` are added to the versions."""
    return Provenance(
        backend="diffusers",
        model=model,
        revision=revision,
        scheduler=type(pipeline.scheduler).__name__,
        device=device_name(device),
        dtype=str(dtype).removeprefix("torch."),
        versions={**_versions(device), **facts},
    )


def _versions(device: str) -> dict[str, str]:
    """Versions of the libraries, Python and CUDA; for a CPU also its threads and instructions."""
    versions = {library: version(library) for library in _LIBRARIES}
    # It names the build too: "+cu130", "+cpu". As a plain string, because unpickling torch's own
    # kind of string would import torch in the bot's process.
    versions["torch"] = str(torch.__version__)
    versions["python"] = platform.python_version()
    if torch.version.cuda and torch.cuda.is_available():
        versions["cuda"] = torch.version.cuda

    if device == "cpu":  # sums are split among threads, so rounding depends on their number
        versions["threads"] = str(torch.get_num_threads())
        versions["cpu"] = torch.backends.cpu.get_cpu_capability()

    return versions

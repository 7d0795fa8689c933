"""Weights of a model's transformer or UNet in 8 bits, by torchao. Images change."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from diffusers import DiffusionPipeline

from generation.diffusion.engine import denoiser_of
from generation.errors import BackendUnavailable

PACKAGE = "torchao"


def quantizing_problem() -> str | None:
    """Why no weights can be quantised here, as a sentence; None if they can. Imports nothing."""
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        return f"OXHERD_QUANTIZE needs the extra `quantized` ({PACKAGE}), which is not installed."

    return None


def quantize(pipeline: DiffusionPipeline, weights: str) -> None:
    """Round the weights of all linear layers in the transformer or UNet. weights: int8 or float8.

    What they are multiplied with keeps its number format. Raises BackendUnavailable.
    """
    if problem := quantizing_problem():
        raise BackendUnavailable(problem)

    model = denoiser_of(pipeline)
    if model is None:
        raise BackendUnavailable(
            "OXHERD_QUANTIZE is for the weights of a transformer or a UNet, and a "
            f"{type(pipeline).__name__} has neither."
        )

    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    quantize_(model, Int8WeightOnlyConfig() if weights == "int8" else Float8WeightOnlyConfig())


def quantized(weights: str) -> Mapping[str, str]:
    """What a row says of such weights."""
    return {"quantized": weights, PACKAGE: version(PACKAGE)}

"""The same on a GPU, where it matters: float16, chosen kernels, a CUDA graph."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from generation.diffusion.compile.cuda_graph import GraphedCall
from tests.support.generation.tiny_model import save_tiny_model
from tests.support.generation.warm_start import (
    COMPILES_WITHIN_S,
    engine_of,
    largest_difference,
    make,
    opened,
    serving,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(COMPILES_WITHIN_S + 100),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


def added(one: Any, *, other: Any) -> tuple[Any]:
    """Something with two tensors, of which one is named."""
    return (one + other,)


def test_a_graph_computes_anew_with_what_it_is_given() -> None:
    one, other = torch.ones(4, device="cuda"), torch.ones(4, device="cuda")
    graphed = GraphedCall(added, (one,), {"other": other})

    (first,) = graphed(one, other=2 * other)
    (second,) = graphed(5 * one, other=other)

    assert first.tolist() == [3.0] * 4  # the second call did not overwrite it
    assert second.tolist() == [6.0] * 4


def test_a_model_is_compiled_in_float16_and_makes_the_same_images(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path)
    eager = opened(model, tmp_path / "unused", compile="off", device="cuda")
    backend = opened(model, tmp_path / "compiled", device="cuda")
    began_s = time.monotonic()
    while (said := serving(backend)) == "uncompiled, compiling":
        assert time.monotonic() - began_s < COMPILES_WITHIN_S
        time.sleep(0.5)

    compiled = make(backend)

    assert "unet compiled" in said
    assert engine_of(compiled) == "oxherd compiled"
    assert largest_difference(compiled, make(eager)) <= 8  # of 255, after four steps in float16
    assert make(backend).images == compiled.images

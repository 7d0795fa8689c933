"""Compiled code serves only if it computes what the model does, whatever it is called with.

No code is compiled here. What stands in for it calls the model, and some of it is wrong.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from generation.diffusion.compile import compiler, variants
from generation.diffusion.compile.part import call_of, part_of
from generation.diffusion.compile.regions import record_own
from generation.diffusion.compile.variants import RecordedCall, Unusable, usable
from generation.diffusion.denoising import Denoiser
from generation.request import Size
from tests.support.generation.tiny_model import SIDE_PX, tiny_stable_diffusion, tiny_xl


class Graph:
    """A recorded call; `stale` names the inputs that it never reads again."""

    stale: frozenset[str] = frozenset()

    def __init__(
        self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self._call, self._recorded = call, _named(args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = _named(args, kwargs) | {name: self._recorded[name] for name in self.stale}

        return self._call(given.pop("sample"), given.pop("timestep"), **given)


def _named(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {"sample": args[0], "timestep": args[1], **kwargs}


@pytest.fixture(scope="module", params=[tiny_stable_diffusion, tiny_xl], ids=["1.x", "XL"])
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return request.param(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def call(pipeline: Any) -> RecordedCall:
    engine = Denoiser(pipeline, device="cpu")

    return record_own(engine, pipeline, Size(SIDE_PX, SIDE_PX))[0].call


def served(
    monkeypatch: pytest.MonkeyPatch, pipeline: Any, call: RecordedCall, *stale: str
) -> set[str]:
    """The variants that may serve, where the graph does not read the `stale` inputs."""
    graph = type("SomeGraph", (Graph,), {"stale": frozenset(stale)})
    monkeypatch.setattr(variants, "GraphedCall", graph)
    with torch.no_grad():
        loaded = variants.variants_of(call_of("unet"), pipeline.unet, call, graphed=True)

        return set(usable(pipeline.unet, loaded, call, report=lambda: None))


def test_a_graph_that_reads_all_its_inputs_may_serve(
    monkeypatch: pytest.MonkeyPatch, pipeline: Any, call: RecordedCall
) -> None:
    assert served(monkeypatch, pipeline, call) == {"compiled", "compiled, in a CUDA graph"}


@pytest.mark.parametrize(
    "stale",
    [
        ("sample", "timestep", "encoder_hidden_states", "added_cond_kwargs"),
        ("sample",),
        ("timestep",),
        ("encoder_hidden_states",),
    ],
    ids=["everything", "noise", "timestep", "prompt"],
)
def test_a_graph_that_returns_stale_output_is_refused(
    monkeypatch: pytest.MonkeyPatch, pipeline: Any, call: RecordedCall, stale: tuple[str, ...]
) -> None:
    assert served(monkeypatch, pipeline, call, *stale) == {"compiled"}


def test_without_any_variant_that_is_right_nothing_is_swapped(
    pipeline: Any, call: RecordedCall
) -> None:
    with torch.no_grad():
        recorded = call.repeat(pipeline.unet)

        with pytest.raises(Unusable, match=r"^the compiled version's output differs by "):
            usable(pipeline.unet, {"compiled": lambda *_, **__: recorded}, call, report=print)


def test_who_compares_and_times_reports_between_two_calls(
    pipeline: Any, call: RecordedCall
) -> None:
    happened: list[str] = []

    def unet(*args: Any, **kwargs: Any) -> Any:
        happened.append("called")
        return pipeline.unet(*args, **kwargs)

    def report() -> None:
        happened.append("reported")

    with torch.no_grad():
        usable(pipeline.unet, {"compiled": unet}, call, report=report)
        variants.fastest({"compiled": unet}, call, report=report)

    called = [index for index, what in enumerate(happened) if what == "called"]
    assert len(called) > 5
    assert all("reported" in happened[a:b] for a, b in pairwise(called))


def test_the_compiler_calls_what_it_made_twice_before_it_hands_over(
    monkeypatch: pytest.MonkeyPatch, pipeline: Any, tmp_path: Path
) -> None:
    happened: list[str] = []

    class Compiled:
        def aot_compile(self, _example: Any) -> "Compiled":
            return self

        def __call__(self, *_args: Any, **_kwargs: Any) -> None:
            happened.append("called")

        def save_compiled_function(self, file: Path) -> None:
            happened.append("saved")
            file.write_bytes(b"")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: Compiled())
    call = RecordedCall((torch.zeros(4, 4, 8, 8),), {})

    compiler.compile_to_file(part_of("decoder", pipeline.vae, call.layout), tmp_path)

    assert happened == ["called", "called", "saved"]

"""The repeated blocks of a pipeline serve compiled, each kind by one file, if they are right.

No code is compiled here but in the tests that are `long`. What stands in for it calls the block.
"""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, FluxTransformer2DModel

from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.compile import compiler
from generation.diffusion.compile.blocks import record_blocks
from generation.diffusion.compile.part import Part, file_name, part_of
from generation.diffusion.compile.variants import Unusable
from generation.diffusion.pipeline_engine import PipelineEngine
from generation.model_traits import read_traits
from generation.request import Made, Size
from generation.worker.specs import DiffusersSpec
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_families import TINY_FAMILIES, save_tiny_family, tiny_flux
from tests.support.generation.warm_start import (
    COMPILES_WITHIN_S,
    engine_of,
    largest_difference,
    serving,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(COMPILES_WITHIN_S + 100),
]

SIDE_PX = 64
BLOCKS = 3
"""Of each of FLUX's two classes."""


@dataclass
class StandIn:
    """Instead of compiled code: the block itself, and a change of what it returns."""

    change: Callable[[torch.nn.Module, Any], Any] = lambda block, output: output
    files: list[str] = field(default_factory=list)
    calls: Counter[torch.nn.Module] = field(default_factory=Counter)

    def start(self, parts: Sequence[Part], folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir()
        for part in parts:
            (folder / file_name(part)).touch()

        return subprocess.Popen(["true"])

    def load(self, file: Path) -> Callable[..., Any]:
        self.files.append(file.name.partition("-")[0])

        return self.call

    def call(self, block: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls[block] += 1

        return self.change(block, type(block).forward(block, *args, **kwargs))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn()
    monkeypatch.setattr(compiler, "start", found.start)
    monkeypatch.setattr(compiler, "load", found.load)

    return found


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flux")
    torch.manual_seed(0)
    tiny_flux(folder, told_guidance=False, blocks=BLOCKS).save_pretrained(folder / "schnell")

    return folder / "schnell"


@pytest.fixture(scope="module")
def eager(flux: Path) -> Made:
    return made_by(opened(DiffusersSpec(model=str(flux))))


def spec_of(model: Path, folder: Path, **options: Any) -> DiffusersSpec:
    return DiffusersSpec(
        model=str(model),
        compile="on",
        compiled_folder=folder / "compiled",
        compiled_size=Size(SIDE_PX, SIDE_PX),
        **options,
    )


def opened(spec: DiffusersSpec) -> DiffusersBackend:
    backend = DiffusersBackend(spec, device="cpu")
    backend.load()

    return backend


def settled(backend: DiffusersBackend) -> str:
    """How it serves, once there is nothing to wait for."""
    began_s = time.monotonic()
    while (said := serving(backend)) == "uncompiled, compiling":
        assert time.monotonic() - began_s < COMPILES_WITHIN_S
        time.sleep(0.02)

    return said


def made_by(backend: DiffusersBackend, *, seeds: tuple[int, ...] = (1, 2, 3, 4)) -> Made:
    request = a_request("a fox", seeds=seeds, steps=2, side_px=SIDE_PX)

    return backend.generate(request, Onlooker())


def test_blocks_of_a_kind_share_a_file_and_serve_requests_of_their_shape(
    flux: Path, eager: Made, stand_in: StandIn, tmp_path: Path
) -> None:
    backend = opened(spec_of(flux, tmp_path))
    at_first = made_by(backend)

    said = settled(backend)

    stand_in.calls.clear()
    then = made_by(backend)
    assert engine_of(at_first) == "pipeline"
    assert engine_of(then) == "pipeline compiled"
    assert len(then.provenance.versions["compiled"]) == 16
    assert "FluxTransformerBlock compiled (" in said
    assert "FluxSingleTransformerBlock compiled (" in said
    # The first of the single ones gets whole tensors, and the others parts of a larger one.
    assert stand_in.files == ["FluxTransformerBlock", *["FluxSingleTransformerBlock"] * 2]
    assert list(stand_in.calls.values()) == [2] * 2 * BLOCKS  # once a step
    assert then.images == at_first.images == eager.images
    assert engine_of(made_by(backend, seeds=(1, 2))) == "pipeline"


def test_if_one_block_is_wrong_in_its_second_output_none_is_swapped(
    flux: Path, eager: Made, stand_in: StandIn, tmp_path: Path
) -> None:
    backend = opened(spec_of(flux, tmp_path))
    assert backend._loaded is not None
    last = backend._loaded.pipeline.transformer.single_transformer_blocks[-1]
    stand_in.change = lambda block, outputs: (
        (outputs[0], 1.01 * outputs[1]) if block is last else outputs
    )

    said = settled(backend)

    made = made_by(backend)
    assert said == "uncompiled: the compiled version's output differs by 0.01 of its norm"
    assert engine_of(made) == "pipeline"
    assert "compiled" not in made.provenance.versions
    assert made.images == eager.images


def test_shapes_that_depend_on_the_prompt_are_not_compiled(
    stand_in: StandIn, tmp_path: Path
) -> None:
    backend = opened(spec_of(save_tiny_family("qwen-image", tmp_path), tmp_path))

    assert settled(backend) == (
        "uncompiled: the shapes in its blocks depend on the prompt's length"
    )
    assert engine_of(made_by(backend)) == "pipeline"


def test_a_model_of_which_diffusers_names_no_blocks_is_not_compiled(
    flux: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("_repeated_blocks", "_no_split_modules"):
        monkeypatch.setattr(FluxTransformer2DModel, name, [])

    assert settled(opened(spec_of(flux, tmp_path))) == (
        "uncompiled: diffusers names no repeated blocks of a FluxTransformer2DModel"
    )


def test_blocks_that_are_skipped_are_not_compiled(flux: Path, tmp_path: Path) -> None:
    backend = opened(spec_of(flux, tmp_path, step_cache=0.1))

    assert settled(backend) == "uncompiled: OXHERD_STEP_CACHE skips its blocks"


def test_code_for_other_attention_is_another_file(tmp_path: Path) -> None:
    transformer = tiny_flux(tmp_path, told_guidance=False).transformer
    files = []
    for kernels in ("native", "_native_math"):
        transformer.set_attention_backend(kernels)
        part = part_of("a block", transformer, (), path="transformer_blocks.0")
        assert part.attention == kernels
        files.append(file_name(part))

    assert files[0] != files[1]


@pytest.mark.long
def test_really_compiled_blocks_make_the_same_images_at_a_second_start_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "PROCESS", f"import os; os.nice = abs; {compiler.PROCESS}")
    model = save_tiny_family("flux-dev", tmp_path)
    spec = spec_of(model, tmp_path)
    eager, first = opened(replace(spec, compile="off")), opened(spec)

    said = settled(first)

    made = made_by(first)
    assert "FluxTransformerBlock compiled" in said
    assert engine_of(made) == "pipeline compiled"
    assert first._loaded is not None
    assert first._loaded.warm_start is not None
    assert first._loaded.warm_start.compiled_calls == 2 * 2  # both blocks, in both steps
    assert largest_difference(made, made_by(eager)) <= 1
    second = opened(spec)
    assert "FluxTransformerBlock compiled" in serving(second)
    assert made_by(second) == made


OWN_ENGINE = {"sd", "sd-turbo", "sd-told-guidance", "sdxl"}
BLOCKS_OF = {
    "lcm": {"BasicTransformerBlock"},
    "sd3": {"JointTransformerBlock"},
    "flux-schnell": {"FluxTransformerBlock", "FluxSingleTransformerBlock"},
    "flux-dev": {"FluxTransformerBlock", "FluxSingleTransformerBlock"},
    "flux2-dev": {"Flux2TransformerBlock", "Flux2SingleTransformerBlock"},
    "flux2-klein": {"Flux2TransformerBlock", "Flux2SingleTransformerBlock"},
    "flux2-klein-base": {"Flux2TransformerBlock", "Flux2SingleTransformerBlock"},
    "sana": {"SanaTransformerBlock"},
    "sana-sprint": {"SanaTransformerBlock"},
    "pixart": {"BasicTransformerBlock"},
}
"""What is compiled of each family that is served by its own pipeline, if anything is."""


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in TINY_FAMILIES if name not in OWN_ENGINE])
def test_what_is_compiled_of_each_family(name: str, tmp_path: Path) -> None:
    folder = save_tiny_family(name, tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(folder)
    takes = read_traits(DiffusersSpec(model=str(folder)))
    size = Size(SIDE_PX, SIDE_PX)
    try:
        regions = record_blocks(PipelineEngine(pipeline, takes), pipeline, takes, size)
    except Unusable:
        regions = []

    assert {region.part.name for region in regions} == BLOCKS_OF.get(name, set())

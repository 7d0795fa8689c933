"""A model serves uncompiled while a compiled version is made, and compiled from then on."""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.compile import compiler
from generation.diffusion.compile.part import call_of
from generation.queue.executor import Executor
from generation.worker.specs import Compile
from tests.support.generation.requests import MODEL, a_request
from tests.support.generation.tiny_model import tiny_stable_diffusion
from tests.support.generation.warm_start import (
    COMPILES_WITHIN_S,
    SIDE_PX,
    engine_of,
    largest_difference,
    make,
    opened,
    serving,
    spec_of,
)

pytestmark = [
    pytest.mark.timeout(COMPILES_WITHIN_S + 100),
    pytest.mark.skipif(
        shutil.which("g++") is None and shutil.which("clang++") is None,
        reason="torch compiles for a CPU with a C++ compiler, and there is none here",
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model that has a UNet with attention and a VAE: each kernel costs a second."""
    folder = tmp_path_factory.mktemp("warm")
    torch.manual_seed(0)
    pipeline = tiny_stable_diffusion(folder)
    pipeline.register_modules(
        unet=UNet2DConditionModel(
            block_out_channels=(4,),
            norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D",),
            mid_block_type=None,
            up_block_types=("CrossAttnUpBlock2D",),
            cross_attention_dim=8,
            attention_head_dim=2,
            layers_per_block=1,
            sample_size=SIDE_PX,
        ),
        vae=AutoencoderKL(block_out_channels=(4,), norm_num_groups=4, latent_channels=4),
    )
    pipeline.save_pretrained(folder / "smallest-model")

    return folder / "smallest-model"


class FirstStart:
    """The first start of a model on a machine, from eager to compiled; made once for all tests."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.folder = folder
        self.backend = opened(model, folder)
        self.said_at_first = serving(self.backend)
        self.made_at_first = make(self.backend)
        began_s = time.monotonic()
        while serving(self.backend) == self.said_at_first:
            assert time.monotonic() - began_s < COMPILES_WITHIN_S
            time.sleep(0.5)

        self.said_then = serving(self.backend)
        self.made_then = make(self.backend)


@pytest.fixture(scope="module")
def first_start(model: Path, tmp_path_factory: pytest.TempPathFactory) -> FirstStart:
    with pytest.MonkeyPatch.context() as patch:
        # The suite has nothing better to do than to wait for the compiler.
        # From torch 2.9 to 2.14 compiling ahead of time is off by default.
        as_before = "import torch._dynamo.config as c; c.enable_aot_compile = False"
        process = f"import os; os.nice = abs; {as_before}; {compiler.PROCESS}"
        patch.setattr(compiler, "PROCESS", process)
        return FirstStart(model, tmp_path_factory.mktemp("data") / "compiled")


@pytest.fixture
def compiled_before(first_start: FirstStart, tmp_path: Path) -> Path:
    """A copy of what the first start left, to be spoilt."""
    copied = tmp_path / "compiled"
    shutil.copytree(first_start.folder, copied, ignore=shutil.ignore_patterns("*.caches"))

    return copied


@pytest.mark.long
def test_requests_are_served_uncompiled_while_the_compiler_works(first_start: FirstStart) -> None:
    assert first_start.said_at_first == "uncompiled, compiling"
    assert engine_of(first_start.made_at_first) == "oxherd"


@pytest.mark.long
def test_then_the_compiled_version_serves_and_says_so(first_start: FirstStart) -> None:
    versions = first_start.made_then.provenance.versions

    assert "unet compiled" in first_start.said_then
    assert "decoder compiled" in first_start.said_then
    assert versions["engine"] == "oxherd compiled"
    assert len(versions["compiled"]) == 16


@pytest.mark.long
def test_compiled_images_are_the_eager_ones_within_rounding(
    first_start: FirstStart, model: Path, tmp_path: Path
) -> None:
    as_loaded = make(opened(model, tmp_path, compile="off"))

    assert largest_difference(first_start.made_at_first, as_loaded) <= 1
    assert largest_difference(first_start.made_then, as_loaded) <= 1


@pytest.mark.long
def test_the_same_request_makes_the_same_bytes_compiled(first_start: FirstStart) -> None:
    assert make(first_start.backend).images == first_start.made_then.images


@pytest.mark.long
def test_a_request_of_another_shape_is_served_uncompiled(first_start: FirstStart) -> None:
    made = make(first_start.backend, seeds=(5, 6))

    assert engine_of(made) == "oxherd"
    assert "compiled" not in made.provenance.versions


@pytest.mark.long
def test_a_second_start_compiles_nothing_and_makes_the_same_bytes(
    first_start: FirstStart, model: Path
) -> None:
    compiled_at = compiler.log_of(first_start.folder).stat().st_mtime_ns

    second = opened(model, first_start.folder)

    assert "unet compiled" in serving(second)
    assert make(second) == first_start.made_then
    assert compiler.log_of(first_start.folder).stat().st_mtime_ns == compiled_at


@pytest.mark.long
def test_what_tuning_chose_is_part_of_the_versions_name(
    first_start: FirstStart, compiled_before: Path, model: Path
) -> None:
    (file,) = compiled_before.glob("unet-*.compiled")
    chosen = file.with_suffix(".caches") / "inductor" / "ab" / "kernel.best_config"
    chosen.parent.mkdir(parents=True)
    chosen.write_text('{"XBLOCK": 64}')

    versions = make(opened(model, compiled_before)).provenance.versions

    assert versions["compiled"] != first_start.made_then.provenance.versions["compiled"]


@pytest.mark.long
async def test_the_executor_tells_how_a_worker_serves(first_start: FirstStart, model: Path) -> None:
    spec = spec_of(model, first_start.folder)
    async with Executor.open({MODEL: spec}) as executor:
        job = executor.submit(a_request("a fox", steps=4, side_px=SIDE_PX), owner=1)
        result = await job.result()

        (worker,) = executor.status().workers

    assert result.images == first_start.made_then.images
    assert "unet compiled" in worker.serving


@pytest.mark.long
def test_a_file_that_cannot_be_loaded_leaves_the_model_serving_uncompiled(
    compiled_before: Path, model: Path
) -> None:
    for file in compiled_before.glob("*.compiled"):
        file.write_bytes(b"torn")

    backend = opened(model, compiled_before)

    assert serving(backend).startswith("uncompiled: compilation failed: ")
    assert engine_of(make(backend)) == "oxherd"


@pytest.mark.long
def test_compiled_code_that_computes_something_else_is_not_used(
    compiled_before: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "load", replaced_by(lambda output: output * 1.01))

    backend = opened(model, compiled_before)

    assert "output differs by 0.01 of its norm" in serving(backend)
    assert engine_of(make(backend)) == "oxherd"


@pytest.mark.long
def test_compiled_code_that_is_slower_is_used_only_if_that_was_asked_for(
    compiled_before: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(output: Any) -> Any:
        time.sleep(0.2)
        return output

    monkeypatch.setattr(compiler, "load", replaced_by(slowly))
    monkeypatch.setattr("generation.diffusion.backend.pays", lambda device: True)

    asked_for = opened(model, compiled_before, compile="on")
    if_it_pays = opened(model, compiled_before, compile="auto")

    assert engine_of(make(asked_for)) == "oxherd compiled"
    assert engine_of(make(if_it_pays)) == "oxherd"
    assert "unet uncompiled" in serving(if_it_pays)


def replaced_by(change: Callable[[Any], Any]) -> Callable[[Path], Callable[..., Any]]:
    """A loader of code that computes what the eager one does, and changes it."""

    def load(file: Path) -> Callable[..., Any]:
        part = call_of(file.name.partition("-")[0])

        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            output = part(module, *args, **kwargs)
            return (change(output[0]),) if isinstance(output, tuple) else change(output)

        return call

    return load


@pytest.mark.long
def test_what_killed_a_worker_is_not_tried_again(compiled_before: Path, model: Path) -> None:
    (compiled_before / "being-tried-on-cpu").touch()

    backend = opened(model, compiled_before)

    assert f"remove the folder {compiled_before}" in serving(backend)
    assert engine_of(make(backend)) == "oxherd"


def test_a_compiler_that_fails_leaves_the_model_serving_uncompiled(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "PROCESS", "raise SystemExit('out of registers')")

    backend = opened(model, tmp_path / "compiled")
    while (said := serving(backend)) == "uncompiled, compiling":
        time.sleep(0.05)

    assert "compilation failed with status 1, see " in said
    assert "out of registers" in compiler.log_of(tmp_path / "compiled").read_text()
    assert engine_of(make(backend)) == "oxherd"
    assert serving(backend) == said


def test_where_there_is_no_room_to_compile_the_requests_keep_their_memory(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "generation.diffusion.compile.warm_start.free_bytes", lambda device: 5 * 10**9
    )

    backend = opened(model, tmp_path / "compiled")

    assert "takes 6.4 GB, and 5.0 GB are free" in serving(backend)
    assert engine_of(make(backend)) == "oxherd"


@pytest.mark.parametrize("name", [".", "unet-0.compiled", "inductor/kernel.so"])
def test_code_that_others_could_have_written_is_not_executed(
    model: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "compiled"
    (folder / "inductor").mkdir(parents=True, mode=0o700)
    path = folder / name
    path.mkdir(exist_ok=True) if name == "." else path.touch()
    path.chmod(0o770)

    backend = opened(model, folder)

    assert f"uncompiled: {path} belongs to a different user, or others can" in (serving(backend))
    assert engine_of(make(backend)) == "oxherd"


def test_a_link_to_code_that_others_could_have_written_is_not_followed(
    model: Path, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "compiled", tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    (elsewhere / "code").touch(mode=0o600)
    (folder / "unet-0.compiled").symlink_to(elsewhere / "code")

    backend = opened(model, folder)

    assert f"uncompiled: {elsewhere} belongs to" in serving(backend)


def test_a_folder_that_cannot_be_written_leaves_the_model_serving_uncompiled(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    backend = opened(model, tmp_path / "file" / "compiled")

    assert serving(backend).startswith("uncompiled: compilation failed: ")
    assert engine_of(make(backend)) == "oxherd"


@pytest.mark.parametrize("compile", ["off", "auto"])
def test_where_it_is_off_or_does_not_pay_nothing_is_done(
    model: Path, tmp_path: Path, compile: Compile
) -> None:
    backend = opened(model, tmp_path / "compiled", compile=compile)

    assert serving(backend) == ""
    assert "layout" not in make(backend).provenance.versions
    assert not (tmp_path / "compiled").exists()


def test_a_model_whose_parts_come_and_go_is_not_compiled(model: Path, tmp_path: Path) -> None:
    spec = replace(spec_of(model, tmp_path / "compiled"), offload="model")
    backend = DiffusersBackend(spec, device="cpu")

    backend.load()

    assert serving(backend) == ""


def test_the_compiler_ends_with_the_thread_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all threads of a worker end that is killed."""
    monkeypatch.setattr(
        compiler,
        "PROCESS",
        "import time; from generation.worker.parent import die_with_parent; die_with_parent(); "
        "print(1, flush=True); time.sleep(600)",
    )
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        started.append(compiler.start([], tmp_path))
        while not compiler.log_of(tmp_path).read_text():
            time.sleep(0.02)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    [process] = started
    assert process.wait(timeout=10) == -signal.SIGKILL

"""What a model weighs, what is free, and that unloading gives it back."""

import gc
import resource
import sys
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file

from generation.diffusion import backend
from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.memory import available_bytes
from generation.diffusion.model_files import count_weights
from generation.errors import BackendUnavailable, OutOfMemory
from generation.worker.specs import DiffusersSpec
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_model import SIDE_PX, save_tiny_model

MIB = 2**20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny, but for a UNet of about 100 MB, whose coming and going shows."""
    folder = save_tiny_model(tmp_path_factory.mktemp("model"))
    UNet2DConditionModel(
        block_out_channels=(128, 256),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=8,
        layers_per_block=2,
        sample_size=SIDE_PX // 2,
    ).save_pretrained(folder / "unet")

    return folder


def backend_of(model: Path, **options: Any) -> DiffusersBackend:
    spec = DiffusersSpec(model=str(model), **options)

    return DiffusersBackend(spec, device="cpu")


def _pipeline(backend: DiffusersBackend) -> DiffusionPipeline:
    assert backend._loaded is not None

    return backend._loaded.pipeline


def resident_mb() -> float:
    gc.collect()

    return psutil.Process().memory_info().rss / MIB


@pytest.mark.parametrize("offload", ["none", "model"])
def test_unloading_gives_the_memory_back(model: Path, offload: str) -> None:
    backend = backend_of(model, offload=offload)
    weights_mb = 4 * count_weights(model, variant=None) / MIB
    for _ in range(2):
        backend.load()
        unet = weakref.ref(_pipeline(backend).unet)
        backend.generate(a_request("a fox", steps=1, side_px=SIDE_PX // 4), Onlooker())
        before_mb = resident_mb()

        backend.unload()

        assert unet() is None
        assert before_mb - resident_mb() > 0.8 * weights_mb


def test_the_weights_are_counted_without_reading_them(model: Path) -> None:
    backend = backend_of(model)
    backend.load()
    pipeline = _pipeline(backend)
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)

    assert count_weights(model, variant=None) == sum(
        tensor.numel() for part in parts for tensor in part.state_dict().values()
    )


def test_only_the_variant_that_is_loaded_counts(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "X", "unet": ["a", "B"]}')
    part = tmp_path / "unet"
    part.mkdir()
    save_file({"w": torch.zeros(2, 5)}, part / "model-00001-of-00002.safetensors")
    save_file({"v": torch.zeros(7)}, part / "model-00002-of-00002.safetensors")
    save_file({"w": torch.zeros(3)}, part / "model.fp16.safetensors")
    (part / "model.bin").write_bytes(bytes(400))

    assert count_weights(tmp_path, variant=None) == 17
    assert count_weights(tmp_path, variant="fp16") == 3
    assert count_weights(tmp_path, variant="int8") == 17  # diffusers loads it without a variant


def test_a_part_in_the_older_format_counts_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "X", "unet": ["a", "B"]}')
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.bin").write_bytes(bytes(400))

    assert count_weights(tmp_path, variant=None) == 100


def test_a_model_fits_where_its_weights_and_its_work_do(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 4 * count_weights(model, variant=None) + backend._WORKING_BYTES
    for free, fits in ((needed, True), (needed - 1, False), (None, True)):
        monkeypatch.setattr(backend, "free_bytes", lambda device, free=free: free)

        assert backend_of(model).fits() is fits


def test_whether_a_model_fits_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(BackendUnavailable, match="/nowhere does not exist"):
        backend_of(Path("/nowhere")).fits()


@pytest.mark.skipif(sys.platform != "linux", reason="limits its memory as Linux does")
def test_a_load_that_runs_out_of_memory_says_so_and_can_be_tried_again(model: Path) -> None:
    backend = backend_of(model)
    backend.load()  # also imports what it needs
    backend.unload()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 32 * MIB, hard))
    try:
        with pytest.raises(OutOfMemory):
            backend.load()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    assert backend.load().model == model.name


def test_main_memory_is_what_the_machine_has_left_or_what_a_container_may_use(
    tmp_path: Path,
) -> None:
    meminfo, cgroup = tmp_path / "meminfo", tmp_path
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable: 4000 kB\n")
    assert available_bytes(meminfo=meminfo, cgroup=cgroup) == 4_096_000

    (cgroup / "memory.max").write_text("3000000\n")
    (cgroup / "memory.current").write_text("1000000\n")
    assert available_bytes(meminfo=meminfo, cgroup=cgroup) == 2_000_000

    (cgroup / "memory.max").write_text("max\n")
    assert available_bytes(meminfo=meminfo, cgroup=cgroup) == 4_096_000
    assert available_bytes(meminfo=tmp_path / "none") is None

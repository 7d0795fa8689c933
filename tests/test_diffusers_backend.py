"""The diffusers backend, really denoising, with a tiny model of random weights."""

import io
import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops
from safetensors.torch import load_file
from torch import cuda, get_num_threads, set_num_threads

from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.model_files import model_files
from generation.errors import BackendUnavailable, Cancelled, OutOfMemory
from generation.model_folder import content_revision
from generation.request import GeneratedImage, ImageRequest, Size, Withheld
from generation.worker.specs import DiffusersSpec
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.small_memory import let_fit
from tests.support.generation.tiny_model import SIDE_PX, save_tiny_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("diffusers"))


@pytest.fixture(scope="module")
def backend(model: Path) -> DiffusersBackend:
    return loaded(model)


@pytest.fixture
def copied(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copied-model"))


def loaded(model: Path, **options: Any) -> DiffusersBackend:
    backend = DiffusersBackend(spec_of(model, **options), device="cpu")
    backend.load()

    return backend


def spec_of(model: Path | str, **options: Any) -> DiffusersSpec:
    return DiffusersSpec(model=str(model), **options)


def revision_of(model: Path) -> str:
    return DiffusersBackend(spec_of(model), device="cpu").load().revision


def hashed(folder: Path, *, remembered: Path | None = None) -> str:
    return content_revision(folder, model_files(folder), remembered=remembered)


def a_small_request(
    prompt: str = "a fox", *, seeds: tuple[int, ...] = (1, 2, 3, 4), steps: int = 4
) -> ImageRequest:
    return a_request(prompt, seeds=seeds, steps=steps, side_px=SIDE_PX)


def make(
    backend: DiffusersBackend,
    request: ImageRequest,
    onlooker: Onlooker | None = None,
) -> Sequence[GeneratedImage]:
    return backend.generate(request, onlooker or Onlooker()).images


def largest_difference(one: GeneratedImage, other: GeneratedImage) -> int:
    pictures = [Image.open(io.BytesIO(image.png)) for image in (one, other)]

    return max(ImageChops.difference(*pictures).tobytes())


def test_the_same_request_makes_the_same_bytes(backend: DiffusersBackend) -> None:
    assert make(backend, a_small_request()) == make(backend, a_small_request())


def test_a_newly_loaded_model_makes_the_same_bytes(backend: DiffusersBackend, model: Path) -> None:
    assert make(loaded(model), a_small_request()) == make(backend, a_small_request())


def test_an_image_is_the_same_alone_as_among_others_within_rounding(
    backend: DiffusersBackend,
) -> None:
    among_others = make(backend, a_small_request(seeds=(5, 6, 7, 8)))
    (alone,) = make(backend, a_small_request(seeds=(7,)))

    assert largest_difference(alone, among_others[2]) <= 1


def test_an_image_does_not_depend_on_the_seeds_beside_it(backend: DiffusersBackend) -> None:
    first = make(backend, a_small_request(seeds=(5, 6, 7, 8)))
    second = make(backend, a_small_request(seeds=(1, 2, 7, 3)))

    assert first[2] == second[2]


@pytest.mark.parametrize(
    "other",
    [
        a_small_request("an owl", seeds=(1,)),
        a_small_request(seeds=(2,)),
        a_small_request(seeds=(1,), steps=2),
        replace(a_small_request(seeds=(1,)), negative_prompt="an owl"),
        replace(a_small_request(seeds=(1,)), guidance_scale=1.5),
    ],
    ids=["prompt", "seed", "steps", "negative prompt", "guidance"],
)
def test_everything_that_is_asked_for_counts(
    backend: DiffusersBackend, other: ImageRequest
) -> None:
    assert make(backend, other) != make(backend, a_small_request(seeds=(1,)))


def test_it_reports_every_step(backend: DiffusersBackend) -> None:
    onlooker = Onlooker()

    make(backend, a_small_request(steps=4), onlooker)

    # PNDM takes one more than it is asked for.
    assert onlooker.steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_it_stops_between_two_steps_and_the_next_picture_is_as_ever(
    backend: DiffusersBackend,
) -> None:
    before = make(backend, a_small_request())
    onlooker = Onlooker(cancel_after=2)

    with pytest.raises(Cancelled):
        make(backend, a_small_request(), onlooker)

    assert onlooker.steps == [(1, 5), (2, 5)]
    assert make(backend, a_small_request()) == before


def test_what_is_cancelled_before_it_starts_takes_no_step(backend: DiffusersBackend) -> None:
    onlooker = Onlooker(cancel_after=0)

    with pytest.raises(Cancelled):
        make(backend, a_small_request(), onlooker)

    assert onlooker.steps == []


def test_what_does_not_fit_is_refused_as_that_and_the_next_is_served(
    backend: DiffusersBackend,
) -> None:
    huge = replace(a_small_request(), size=Size(2**24, 2**24))

    with pytest.raises(OutOfMemory, match="allocate"):
        make(backend, huge)

    assert len(make(backend, a_small_request())) == 4


def test_a_request_is_made_in_batches_that_fit_and_its_rows_say_so(
    backend: DiffusersBackend, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(backend, a_small_request())
    let_fit(monkeypatch, rows=4)  # two images with guidance
    onlooker = Onlooker()

    made = loaded(model).generate(a_small_request(), onlooker)

    assert made.provenance.versions["batch"] == "2"
    assert [image.seed for image in made.images] == [1, 2, 3, 4]
    pairs = zip(made.images, whole, strict=True)
    assert max(largest_difference(*pair) for pair in pairs) <= 1
    assert onlooker.steps == [(step, 10) for step in range(1, 11)]


def test_a_picture_that_the_models_checker_blackens_is_withheld(tmp_path: Path) -> None:
    strict = loaded(save_tiny_model(tmp_path, flags_everything=True))

    images = make(strict, a_small_request(seeds=(1, 2)))

    assert [image.withheld for image in images] == [Withheld.CHECKER] * 2
    assert Image.open(io.BytesIO(images[0].png)).getextrema() == ((0, 0),) * 3


def test_without_a_checker_nothing_is_withheld(backend: DiffusersBackend) -> None:
    assert not any(image.withheld for image in make(backend, a_small_request()))


def test_provenance_names_all_that_made_the_picture(model: Path) -> None:
    provenance = DiffusersBackend(spec_of(model), device="cpu").load()

    assert provenance.backend == "diffusers"
    assert provenance.model == "tiny-model"  # not the path to it
    assert provenance.revision.startswith("sha256:")
    assert provenance.scheduler == "PNDMScheduler"
    assert provenance.device.startswith("cpu")
    assert provenance.dtype == "float32"
    assert set(provenance.versions) >= {"accelerate", "diffusers", "torch", "transformers"}
    assert all(provenance.versions.values())


def test_provenance_says_which_engine_made_the_pictures_and_how_many_at_once(
    backend: DiffusersBackend,
) -> None:
    made = backend.generate(a_small_request(seeds=(1, 2, 3)), Onlooker())

    assert made.provenance.versions["engine"] == "oxherd"
    assert made.provenance.versions["batch"] == "3"


def test_stable_diffusion_xl_is_loaded_and_made_by_our_own_loop(tmp_path: Path) -> None:
    xl = loaded(save_tiny_model(tmp_path, xl=True))

    first, again = (xl.generate(a_small_request(), Onlooker()) for _ in range(2))

    assert first.provenance.versions["engine"] == "oxherd"
    assert len({image.sha256 for image in first.images}) == 4
    assert first.images == again.images


def test_reading_the_provenance_in_another_process_does_not_import_torch(model: Path) -> None:
    provenance = DiffusersBackend(spec_of(model), device="cpu").load()

    script = "import pickle, sys; pickle.load(sys.stdin.buffer); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent.parent,
        check=True,
        input=pickle.dumps(provenance),
        stdout=subprocess.PIPE,
    )

    assert done.stdout == b"False\n"


def test_a_folders_revision_follows_what_is_loaded_from_it(model: Path, copied: Path) -> None:
    (copied / "README.md").write_text("A card.", encoding="utf-8")
    assert revision_of(copied) == revision_of(model)

    scheduler = copied / "scheduler" / "scheduler_config.json"
    settings = json.loads(scheduler.read_bytes())
    scheduler.write_text(json.dumps(settings | {"beta_end": 0.013}), encoding="utf-8")
    assert revision_of(copied) != revision_of(model)


def test_a_folders_files_are_hashed_once_and_again_when_they_change(
    copied: Path, tmp_path: Path
) -> None:
    hashes = tmp_path / "hashes.json"
    first = hashed(copied, remembered=hashes)
    known = dict.fromkeys(json.loads(hashes.read_bytes()), "0" * 64)
    hashes.write_text(json.dumps(known), encoding="utf-8")

    believed = hashed(copied, remembered=hashes)
    for file in copied.rglob("*.safetensors"):
        file.touch()

    assert first == hashed(copied)
    assert believed != first  # no byte was read
    assert hashed(copied, remembered=hashes) not in (first, believed)


def test_a_memory_of_hashes_that_is_torn_or_cannot_be_kept_does_no_harm(
    copied: Path, tmp_path: Path
) -> None:
    (tmp_path / "torn.json").write_bytes(b"{")

    for file in (tmp_path / "torn.json", tmp_path / "no-folder" / "hashes.json"):
        assert hashed(copied, remembered=file) == hashed(copied)

    assert json.loads((tmp_path / "torn.json").read_bytes())


def test_a_model_in_the_hubs_cache_is_loaded_offline_and_named_by_its_commit(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--somebody--tiny"
    shutil.copytree(model, cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    backend = DiffusersBackend(spec_of("somebody/tiny"), device="cpu")

    provenance = backend.load()

    assert (provenance.model, provenance.revision) == ("somebody/tiny", COMMIT)
    assert all(finding.ok for finding in backend.check())
    assert backend.check()[-1].detail.startswith("oxherd's own denoising loop")


@pytest.mark.parametrize(
    ("spec", "device", "sentence"),
    [
        pytest.param(
            spec_of("/nowhere/model"),
            "cpu",
            "The folder /nowhere/model does not exist.",
            id="no folder",
        ),
        pytest.param(spec_of("tests"), "cpu", "holds no model_index.json", id="no model"),
        pytest.param(
            spec_of("nobody/nothing"),
            "cpu",
            "The model 'nobody/nothing' is not a folder here, not complete in the hub's local "
            "cache, and could not be fetched",
            id="not to be had",
        ),
        pytest.param(
            spec_of("/nowhere/model"),
            "no-such-device",
            "cannot use the device 'no-such-device'",
            id="device",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_a_sentence(
    spec: DiffusersSpec, device: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    backend = DiffusersBackend(spec, device=device)

    with pytest.raises(BackendUnavailable) as refused:
        backend.load()

    assert sentence in refused.value.reason
    assert not all(finding.ok for finding in backend.check())


def test_offloading_changes_no_picture_and_survives_a_cancellation(
    backend: DiffusersBackend, model: Path
) -> None:
    offloading = loaded(model, offload="model")
    with pytest.raises(Cancelled):
        make(offloading, a_small_request(), Onlooker(cancel_after=1))

    assert make(offloading, a_small_request()) == make(backend, a_small_request())


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"dtype": "float8"}, "dtype is 'float8'; allowed is auto, float32, float16, bfloat16."),
        ({"offload": "some"}, "offload is 'some'; allowed is none, model."),
        ({"compile": "perhaps"}, "compile is 'perhaps'; allowed is auto, on, layout, off."),
        ({"compile": "on"}, "compile is 'on' without a folder and a size."),
    ],
)
def test_options_that_cannot_be_used_are_refused_where_they_are_made(
    option: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        spec_of("any/model", **option)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="ofload"):
        spec_of("any/model", ofload="model")


def test_a_damaged_model_is_refused_with_its_cause(copied: Path) -> None:
    (copied / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")

    with pytest.raises(BackendUnavailable, match=r"was found, but could not be loaded: ."):
        loaded(copied)


def test_weights_that_are_pickles_are_loaded_only_if_the_operator_says_so(copied: Path) -> None:
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    refused, allowed = (
        DiffusersBackend(spec_of(copied, allow_pickles=allow), device="cpu")
        for allow in (False, True)
    )

    with pytest.raises(BackendUnavailable, match=r"are pickles \(unet\).*OXHERD_ALLOW_PICKLES"):
        refused.load()

    assert "are pickles (unet), which can run code" in refused.check()[-1].detail
    assert not refused.check()[-1].ok
    allowed.load()
    assert make(allowed, a_small_request())
    assert all(finding.ok for finding in allowed.check())
    assert "these are pickles, which can run code: unet" in allowed.check()[1].detail


def test_what_serves_a_model_is_read_off_its_index(copied: Path) -> None:
    backend = DiffusersBackend(spec_of(copied), device="cpu")
    index = copied / "model_index.json"
    index.write_text(json.dumps({"_class_name": "FluxPipeline"}), encoding="utf-8")
    assert backend.check()[-1].detail.startswith(
        "the model's own pipeline, because FluxPipeline is not"
    )

    index.write_bytes(b"torn")
    assert "so the model is damaged" in backend.check()[-1].detail
    assert not backend.check()[-1].ok


def test_a_pipeline_that_takes_no_prompt_is_refused(copied: Path) -> None:
    index = copied / "model_index.json"
    parts = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "PNDMScheduler"],
    }
    index.write_text(json.dumps(parts), encoding="utf-8")

    with pytest.raises(BackendUnavailable, match=r"DDPMPipeline, .* not take .*prompt"):
        loaded(copied)


def test_auto_takes_the_best_device_there_is(model: Path) -> None:
    spec = spec_of(model)
    best = "cuda" if cuda.is_available() else "cpu"

    chosen = DiffusersBackend(spec, device="auto").load().device

    assert chosen == DiffusersBackend(spec, device=best).load().device


def test_a_small_model_gets_one_thread_and_a_large_one_all_that_torch_chooses(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.diffusion.backend._ALL_THREADS", 2)
    before = get_num_threads()
    try:
        small = loaded(model)
        monkeypatch.setattr("generation.diffusion.backend._SMALL", 0)
        large = loaded(model)

        made = [each.generate(a_small_request(), Onlooker()) for each in (small, large)]
        used_last = get_num_threads()
        make(small, a_small_request())

        assert [each.provenance.versions["threads"] for each in made] == ["1", "2"]
        assert (used_last, get_num_threads()) == (2, 1)
    finally:
        set_num_threads(before)

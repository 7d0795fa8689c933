"""What a model takes is read from its small files, before anything is loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from generation.diffusion.checks import check_family
from generation.diffusion.pipeline_engine import call_problem, traits_by_signature
from generation.families import UNKNOWN, Guidance
from generation.lora_folder import write_index
from generation.model_traits import read_traits
from generation.worker.specs import WEIGHTS, DiffusersSpec

COMMIT = "0" * 40


def a_model(folder: Path, pipeline: str, **settings: dict[str, Any]) -> Path:
    """A model's small files. settings: of its components, and of the index, which is `model`."""
    folder.mkdir(parents=True)
    index = {"_class_name": pipeline, **settings.pop("index", {})}
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    for component, values in settings.items():
        (folder / component).mkdir()
        (folder / component / "config.json").write_text(json.dumps(values), encoding="utf-8")

    return folder


def family(folder: Path) -> str:
    return read_traits(DiffusersSpec(model=str(folder))).family


def test_the_files_tell_the_variants_of_a_family_apart(tmp_path: Path) -> None:
    told = {"guidance_embeds": True}
    klein = {"is_distilled": True}

    assert family(a_model(tmp_path / "a", "FluxPipeline", transformer={})) == "FLUX.1 schnell"
    assert family(a_model(tmp_path / "b", "FluxPipeline", transformer=told)) == "FLUX.1 dev"
    assert family(a_model(tmp_path / "c", "Flux2KleinPipeline", index=klein)) == "FLUX.2 klein"
    assert family(a_model(tmp_path / "d", "Flux2KleinPipeline")) == "FLUX.2 klein, base"


def test_a_name_tells_apart_what_the_files_do_not(tmp_path: Path) -> None:
    turbo = read_traits(
        DiffusersSpec(model=str(a_model(tmp_path / "SD-Turbo", "StableDiffusionPipeline")))
    )

    assert (turbo.steps, turbo.default_guidance) == (4, 0.0)


def test_a_lora_takes_what_its_base_takes(tmp_path: Path) -> None:
    base = a_model(tmp_path / "base", "StableDiffusionXLPipeline")
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / WEIGHTS).touch()
    write_index(tmp_path / "lora", base=str(base), base_revision="sha256:0")

    assert family(tmp_path / "lora") == "Stable Diffusion XL"


def test_a_model_in_the_hubs_cache_is_known_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--somebody--tiny"
    a_model(cached / "snapshots" / COMMIT, "QwenImagePipeline")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert read_traits(DiffusersSpec(model="somebody/tiny")).family == "Qwen-Image"
    assert read_traits(DiffusersSpec(model="somebody/else")) == UNKNOWN


@pytest.mark.parametrize("damage", ["no folder", "no index", "no JSON"])
def test_a_model_that_cannot_be_read_may_take_anything(damage: str, tmp_path: Path) -> None:
    folder = a_model(tmp_path / "model", "FluxPipeline")
    if damage == "no folder":
        shutil.rmtree(folder)
    elif damage == "no index":
        (folder / "model_index.json").unlink()
    else:
        (folder / "model_index.json").write_text("{", encoding="utf-8")

    assert read_traits(DiffusersSpec(model=str(folder))) == UNKNOWN


def test_doctor_names_the_family_and_its_defaults(tmp_path: Path) -> None:
    folder = a_model(tmp_path / "model", "FluxPipeline", transformer={"guidance_embeds": True})

    assert check_family(DiffusersSpec(model=str(folder)), folder, device="cpu").detail == (
        "FLUX.1 dev: 28 steps, guidance 3.5, no negative prompt, sides in multiples of 16, made "
        "for 1024 x 1024, bfloat16 on CUDA"
    )


def test_doctor_says_what_it_does_not_know_of_other_pipelines(tmp_path: Path) -> None:
    folder = a_model(tmp_path / "model", "PixArtAlphaPipeline")

    finding = check_family(DiffusersSpec(model=str(folder)), folder, device="cpu")

    assert finding.ok
    assert "20 steps unless set. Not known: the effect of guidance and a neg" in finding.detail


@pytest.mark.parametrize(
    ("pipeline", "sentence"),
    [
        ("DDPMPipeline", "does not take prompt, callback_on_step_end. These are needed"),
        ("NoSuchPipeline", "has no NoSuchPipeline. Install a newer one."),
    ],
)
def test_doctor_refuses_what_cannot_serve(pipeline: str, sentence: str, tmp_path: Path) -> None:
    folder = a_model(tmp_path / "model", pipeline)

    finding = check_family(DiffusersSpec(model=str(folder)), folder, device="cpu")

    assert not finding.ok
    assert sentence in finding.detail


class Plain:
    def __call__(self, prompt: str, num_inference_steps: int = 9, **more: Any) -> None:
        """Neither seeds nor steps."""


class Mask:
    def __call__(
        self,
        prompt: str,
        mask: object,
        num_inference_steps: int = 9,
        generator: object = None,
        callback: object = None,
    ) -> None:
        """It needs more than a prompt."""


class Older:
    def __call__(
        self,
        prompt: str,
        num_inference_steps: int = 9,
        guidance_scale: float = 2.5,
        generator: object = None,
        callback: object = None,
        **kwargs: object,
    ) -> None:
        """With the callback of older pipelines, and no negative prompt."""


def test_a_call_without_seeds_or_steps_is_refused() -> None:
    problem = call_problem(Plain)

    assert problem is not None
    assert "does not take generator, callback_on_step_end. These are needed" in problem


def test_a_call_that_needs_more_than_a_prompt_is_refused() -> None:
    problem = call_problem(Mask)

    assert problem is not None
    assert "needs mask beside a prompt" in problem


def test_the_signature_says_the_defaults() -> None:
    assert call_problem(Older) is None
    takes = traits_by_signature(Older)

    assert takes.steps == 9
    assert takes.guidance == Guidance(default=2.5, off_up_to=None)
    assert not takes.negative_prompt

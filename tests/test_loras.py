"""LoRAs are models with names of their own, and what they made can be made again."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bot.cli.replay import request_of, spec_of
from bot.cli.strangers_row import require_offered
from bot.configuration import door, limits, model_specs
from bot.errors import CannotReplay
from bot.settings import Settings, SettingsError, load
from generation.diffusion.backend import DiffusersBackend
from generation.errors import BackendUnavailable
from generation.request import Made
from generation.tuning.adapter import Adapter
from generation.worker.specs import DiffusersSpec
from tests.support.generation.recorded import recorded_as
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_model import save_tiny_model, tiny_stable_diffusion

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COMMIT = "0123456789" * 4
HUB = "somebody/tiny-lora"
FILE = "for-4-steps.safetensors"
ENTRY = f"name=fast lora={HUB}@{COMMIT} file={FILE} few=lcm"
NO_FILE = Path("/nonexistent/.env")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub's local cache with one LoRA in it."""
    cache = tmp_path_factory.mktemp("hub")
    folder = cache / "models--somebody--tiny-lora" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    pipeline = tiny_stable_diffusion(cache)
    adapter = Adapter(pipeline.unet, rank=2, seed=0)
    torch.manual_seed(1)
    weights = {name: torch.randn_like(weight) for name, weight in adapter.weights().items()}
    adapter.save(weights, pipeline, folder, FILE)

    return cache


@pytest.fixture(autouse=True)
def offline(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def settings_of(model: Path, *entries: str, **more: Any) -> Settings:
    environment = {"model": str(model), "loras": "; ".join(entries), "sizes": "64x64", **more}

    return load({f"OXHERD_{name.upper()}": text for name, text in environment.items()}, NO_FILE)


def opened(spec: Any) -> DiffusersBackend:
    assert isinstance(spec, DiffusersSpec)
    backend = DiffusersBackend(spec, device="cpu")
    backend.load()

    return backend


def made_with(settings: Settings, name: str) -> Made:
    """Two images of the model of that name, at its defaults."""
    request = door(settings).admit(prompt="a fox", seed=1, model=name)

    return opened(model_specs(settings)[name]).generate(request, Onlooker())


def test_a_lora_on_the_hub_is_a_model_and_its_row_makes_the_image_again(model: Path) -> None:
    settings = settings_of(model, f"{ENTRY} weight=0.5 steps=2")

    made = made_with(settings, "fast")

    made_by, versions = made.provenance, made.provenance.versions
    assert (made_by.model, made_by.revision, made_by.scheduler) == (HUB, COMMIT, "LCMScheduler")
    assert {name: versions[name] for name in ("base", "lora_file", "lora_weight", "few_steps")} == {
        "base": model.name,
        "lora_file": FILE,
        "lora_weight": "0.5",
        "few_steps": "lcm",
    }
    assert (made.request.steps, made.request.guidance_scale) == (2, 1.0)

    recorded = recorded_as(made, slot=2)
    request, index = request_of(recorded)
    spec = spec_of(recorded, settings_of(model), compiled=model)
    assert opened(spec).generate(request, Onlooker()).images[index] == made.images[1]


def test_the_weight_says_how_much_of_it_is_added(model: Path) -> None:
    plain, half, whole = (
        made_with(
            settings_of(
                model, f"name=it lora={HUB}@{COMMIT} file={FILE}{weight}", default_steps="2"
            ),
            name,
        )
        for weight, name in (("", model.name), (" weight=0.5", "it"), ("", "it"))
    )

    assert len({made.images[0].sha256 for made in (plain, half, whole)}) == 3
    assert "lora_weight" not in whole.provenance.versions


def test_the_defaults_are_the_entrys_then_its_kinds_then_the_settings(model: Path) -> None:
    plain = f"name=plain lora={HUB}@{COMMIT}"
    offered = limits(
        settings_of(
            model,
            ENTRY,
            plain,
            f"name=four lora={HUB}@{COMMIT} few=dmd2 guidance=1.5",
            default_steps="30",
            default_guidance="6",
        )
    )

    defaults = {name: (each.steps, each.default_guidance) for name, each in offered.takes.items()}
    assert defaults == {
        model.name: (30, 6.0),
        "fast": (4, 1.0),
        "plain": (30, 6.0),
        "four": (4, 1.5),
    }
    assert offered.takes["four"].most_steps == 4


@pytest.mark.parametrize(
    "kind",
    ["dmd2", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("lightning", "hyper"))],
)
def test_each_kind_for_a_few_steps_makes_images_with_its_scheduler(kind: str, model: Path) -> None:
    settings = settings_of(model, f"name=it lora={HUB}@{COMMIT} file={FILE} few={kind}")
    backend = opened(model_specs(settings)["it"])
    assert backend._loaded is not None
    scheduler = backend._loaded.pipeline.scheduler
    scheduler.set_timesteps(4)

    made = backend.generate(a_request("a fox", seeds=(1,), steps=4, side_px=64), Onlooker())

    assert made.provenance.versions["few_steps"] == kind
    if kind == "dmd2":
        assert scheduler.timesteps.tolist() == [999, 749, 499, 249]


def test_a_lora_that_cannot_be_had_is_refused_with_a_sentence(model: Path, tmp_path: Path) -> None:
    absent = settings_of(model, f"name=it lora=somebody/else@{COMMIT}")
    folder = settings_of(model, f"name=it lora={tmp_path}")

    for settings, sentence in ((absent, "The LoRA 'somebody/else'"), (folder, "say model= in")):
        backend = DiffusersBackend(model_specs(settings)["it"], device="cpu")  # type: ignore[arg-type]
        with pytest.raises(BackendUnavailable, match=sentence):
            backend.load()
        assert not all(finding.ok for finding in backend.check())


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("name=it", "has no lora=NAME@COMMIT or lora=FOLDER"),
        ("lora=a/b", "'a/b' has no commit of 40 hexadecimal digits. Write lora=a/b@COMMIT"),
        ("lora=a/b@main", "has no commit of 40 hexadecimal digits"),
        (f"lora=a/b@{COMMIT} speed=2", "'speed=2' is not one of name=…, lora=…"),
        (f"lora=a/b@{COMMIT} lora=/c", "'lora=/c' is not one of name=…, lora=…"),
        (f"lora=a/b@{COMMIT} weight=heavy", "could not convert string to float: 'heavy'"),
        (f"lora=a/b@{COMMIT} weight=nan", "weight is nan; above 0 and up to 4 is allowed"),
        (f"lora=a/b@{COMMIT} few=two", "few is 'two'; allowed is lcm, lightning, hyper, dmd2"),
        (f"lora=a/b@{COMMIT} steps=0", "steps must be 1 or more"),
        (f"lora=a/b@{COMMIT} guidance=nan", "guidance must be from 0 to 100"),
        (f"lora=a/b@{COMMIT}; lora=c/b@{COMMIT}", "two models called 'b'"),
        ("; ".join(f"name={n} lora=/l" for n in range(25)), "26 models are offered in all"),
    ],
)
def test_an_entry_that_cannot_be_used_is_a_sentence(entry: str, sentence: str, model: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(model, entry)

    assert sentence in str(refused.value)
    assert "OXHERD_LORAS" in str(refused.value)


def test_a_strangers_row_may_not_name_another_base(model: Path) -> None:
    made = made_with(settings_of(model, f"{ENTRY} steps=1"), "fast")
    recorded = recorded_as(made, slot=1)
    made_by = {**recorded.made_by, "base": "them/theirs", "base_revision": COMMIT}
    request, _ = request_of(recorded)
    theirs = type(recorded)(
        image_id="an-image", slot=1, request=recorded.request, made_by=made_by, sha256="0"
    )

    require_offered(recorded, request, settings_of(model, ENTRY), model=None)
    with pytest.raises(CannotReplay, match="made with the model 'them/theirs'"):
        require_offered(theirs, request, settings_of(model, ENTRY), model=None)

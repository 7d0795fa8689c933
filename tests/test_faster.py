"""What a setting alone turns on to be faster: it works or is refused, the row has it, and the row
makes the image again."""

import inspect
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from diffusers import CacheMixin
from diffusers.models.attention_dispatch import AttentionBackendName

from bot.cli.replay import request_of, spec_of
from bot.configuration import model_specs
from bot.settings import Settings, SettingsError, load
from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.faster import quantized
from generation.errors import BackendUnavailable, Cancelled
from generation.model_traits import read_traits
from generation.request import Made
from generation.worker.specs import DiffusersSpec
from tests.support.generation.recorded import recorded_as
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_families import TINY_FAMILIES, save_tiny_family

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIDE_PX = 64
NO_FILE = Path("/nonexistent/.env")

needs_torchao = pytest.mark.skipif(
    find_spec("torchao") is None, reason="the extra `quantized` is not installed"
)


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_family("flux-dev", tmp_path_factory.mktemp("flux"))


def opened(model: Path, **options: Any) -> DiffusersBackend:
    backend = DiffusersBackend(DiffusersSpec(model=str(model), **options), device="cpu")
    backend.load()

    return backend


def made_by(backend: DiffusersBackend, *, seeds: tuple[int, ...] = (1, 2), steps: int = 3) -> Made:
    return backend.generate(
        a_request("a fox", seeds=seeds, steps=steps, side_px=SIDE_PX), Onlooker()
    )


def made_again(made: Made, model: Path) -> Made:
    """The second image and those beside it, from its row alone."""
    recorded = recorded_as(made, slot=2)
    request, _ = request_of(recorded)
    spec = spec_of(recorded, Settings(model=str(model)), compiled=model)
    assert isinstance(spec, DiffusersSpec)
    backend = DiffusersBackend(spec, device="cpu")
    backend.load()

    return backend.generate(request, Onlooker())


def finding(subject: str, model: Path, **options: Any) -> tuple[bool, str]:
    """What doctor says of it."""
    backend = DiffusersBackend(DiffusersSpec(model=str(model), **options), device="cpu")
    (found,) = [each for each in backend.check() if each.subject == subject]

    return found.ok, found.detail


def test_attention_is_computed_as_set_and_the_row_has_it(flux: Path) -> None:
    backend = opened(flux, attention="_native_math")

    made = made_by(backend)

    assert backend._loaded is not None
    blocks = backend._loaded.pipeline.transformer.transformer_blocks
    assert blocks[0].attn.processor._attention_backend == AttentionBackendName._NATIVE_MATH
    assert made.provenance.versions["attention"] == "_native_math"
    again = made_again(made, flux)
    assert (again.images, again.provenance) == (made.images, made.provenance)
    assert finding("attention", flux, attention="_native_math")[0]


def test_unless_it_is_set_torch_chooses_whatever_diffusers_variable_says(
    flux: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    monkeypatch.setattr(
        _AttentionBackendRegistry, "_active_backend", AttentionBackendName._NATIVE_CUDNN
    )

    versions = made_by(opened(flux)).provenance.versions

    assert "attention" not in versions


@pytest.mark.parametrize("attention", ["_native_cudnn", "flash", "sage", "xformers"])
def test_kernels_that_are_not_here_are_refused_with_a_sentence(flux: Path, attention: Any) -> None:
    sentence = f"OXHERD_ATTENTION={attention} cannot be used on cpu with float32: "

    with pytest.raises(BackendUnavailable, match=sentence):
        opened(flux, attention=attention)

    ok, detail = finding("attention", flux, attention=attention)
    assert not ok
    assert detail.startswith(sentence)


def test_a_model_that_needs_masks_refuses_kernels_without(tmp_path: Path) -> None:
    model = save_tiny_family("z-image", tmp_path)

    with pytest.raises(BackendUnavailable, match=r"=_native_flash: `attn_mask` is not supported"):
        opened(model, attention="_native_flash")


def test_attention_that_nobody_can_choose_is_not_recorded(tmp_path: Path) -> None:
    model = save_tiny_family("sd3", tmp_path)

    versions = made_by(opened(model, attention="_native_math")).provenance.versions

    assert "attention" not in versions
    assert finding("attention", model, attention="_native_math") == (
        True,
        "torch chooses: _native_math has no effect on Stable Diffusion 3.x",
    )


def test_steps_that_change_little_are_skipped_and_the_row_has_it(flux: Path) -> None:
    backend = opened(flux, step_cache=0.9)

    made = made_by(backend)

    assert made.images != made_by(opened(flux)).images
    assert made.provenance.versions["step_cache"] == "0.9"
    again = made_again(made, flux)
    assert (again.images, again.provenance) == (made.images, made.provenance)
    assert finding("step cache", flux, step_cache=0.9) == (
        True,
        "steps that change less than 0.9 are skipped; images change",
    )


def test_a_run_that_ended_early_leaves_no_steps_behind(flux: Path) -> None:
    backend = opened(flux, step_cache=0.9)
    before = made_by(backend)

    with pytest.raises(Cancelled):
        backend.generate(a_request("a fox", side_px=SIDE_PX), Onlooker(cancel_after=1))

    assert made_by(backend) == before


@pytest.mark.parametrize(
    ("name", "family"), [("sd3", "Stable Diffusion 3.x"), ("flux2-dev", "FLUX.2 dev")]
)
def test_a_model_without_a_cache_is_refused(name: str, family: str, tmp_path: Path) -> None:
    model = save_tiny_family(name, tmp_path)
    sentence = f"OXHERD_STEP_CACHE cannot be used: diffusers caches no steps of {family}."

    with pytest.raises(BackendUnavailable, match=sentence):
        opened(model, step_cache=0.1)

    assert finding("step cache", model, step_cache=0.1) == (False, sentence)


@needs_torchao
@pytest.mark.parametrize("weights", ["int8", "float8"])
@pytest.mark.parametrize("name", ["sd", "flux-dev"])
def test_weights_are_rounded_and_the_row_has_it(name: str, weights: Any, tmp_path: Path) -> None:
    model = save_tiny_family(name, tmp_path)
    backend = opened(model, quantize=weights)

    made = made_by(backend)

    assert made.images != made_by(opened(model)).images
    assert made.provenance.versions["quantized"] == weights
    assert made.provenance.versions["torchao"] == version("torchao")
    again = made_again(made, model)
    assert (again.images, again.provenance) == (made.images, made.provenance)
    assert finding("quantizing", model, quantize=weights)[0]


def test_a_pipeline_that_has_nothing_to_round_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Collage:
        """Makes images without a transformer or a UNet."""

    monkeypatch.setattr(quantized, "PACKAGE", "torch")  # one that is here

    with pytest.raises(BackendUnavailable, match="and a Collage has neither"):
        quantized.quantize(Collage(), "int8")


def test_without_its_package_nothing_is_rounded(
    flux: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantized, "PACKAGE", "a package that is not here")
    sentence = r"OXHERD_QUANTIZE needs the extra `quantized` \(.*\), which is not installed\."

    with pytest.raises(BackendUnavailable, match=sentence):
        opened(flux, quantize="int8")

    ok, detail = finding("quantizing", flux, quantize="int8")
    assert not ok
    assert re.fullmatch(sentence, detail)


def test_only_the_models_that_the_settings_name_skip_steps_or_are_rounded() -> None:
    environment = {
        "OXHERD_MODEL": "somebody/one",
        "OXHERD_MORE_MODELS": "somebody/other",
        "OXHERD_STEP_CACHE": "other:0.1",
        "OXHERD_QUANTIZE": "one:int8",
    }

    specs = model_specs(load(environment, NO_FILE))

    assert [
        (spec.step_cache, spec.quantize)
        for spec in specs.values()
        if isinstance(spec, DiffusersSpec)
    ] == [(None, "int8"), (0.1, "none")]
    for text, problem in (
        ("third:0.1", "names 'third', and the models that members choose are one, other"),
        ("other:1.5", "other has 1.5; up to 1 is allowed"),
    ):
        with pytest.raises(SettingsError, match=problem):
            load({**environment, "OXHERD_STEP_CACHE": text}, NO_FILE)


@pytest.mark.long
@pytest.mark.parametrize("name", TINY_FAMILIES)
def test_the_table_says_what_can_be_set(name: str, tmp_path: Path) -> None:
    pipeline = TINY_FAMILIES[name](tmp_path)
    pipeline.save_pretrained(tmp_path / name)
    denoiser = pipeline.components.get("transformer") or pipeline.unet

    takes = read_traits(DiffusersSpec(model=str(tmp_path / name)))

    assert takes.chooses_attention == any(
        hasattr(getattr(module, "processor", None), "_attention_backend")
        for module in denoiser.modules()
    )
    tells_its_pass = "cache_context" in inspect.getsource(type(pipeline).__call__)
    assert takes.caches_steps == (isinstance(denoiser, CacheMixin) and tells_its_pass)

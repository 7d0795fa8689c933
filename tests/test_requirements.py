"""What a model asks of the machine is said before it is loaded, and by `doctor`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from generation.diffusion import model_files
from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.compile import compiler
from generation.errors import BackendUnavailable
from generation.request import Size
from generation.worker.backend import Finding
from generation.worker.specs import DiffusersSpec
from tests.support.generation.tiny_model import save_tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path)


def set_scheduler(model: Path, name: str, **settings: Any) -> None:
    index = json.loads((model / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", name]
    (model / "model_index.json").write_text(json.dumps(index))
    file = model / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def finding(backend: DiffusersBackend, subject: str) -> Finding:
    (found,) = [each for each in backend.check() if each.subject == subject]

    return found


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        pytest.param(
            "DPMSolverSDEScheduler", {}, "noise that the seeds do not determine", id="no seed"
        ),
        pytest.param("LMSDiscreteScheduler", {}, "pip install scipy", id="LMS"),
        pytest.param(
            "EulerDiscreteScheduler", {"use_beta_sigmas": True}, "pip install scipy", id="beta"
        ),
    ],
)
def test_a_scheduler_that_cannot_serve_is_refused_and_doctor_says_so(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: dict[str, Any],
    problem: str,
) -> None:
    set_scheduler(model, name, **settings)
    monkeypatch.setattr(model_files, "find_spec", lambda name: None)  # as if without scipy
    backend = DiffusersBackend(DiffusersSpec(model=str(model)), device="cpu")

    with pytest.raises(BackendUnavailable, match=problem):
        backend.load()

    assert not finding(backend, "engine").ok
    assert problem in finding(backend, "engine").detail


def test_with_scipy_the_scheduler_is_no_problem(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_scheduler(model, "LMSDiscreteScheduler")
    monkeypatch.setattr(model_files, "find_spec", lambda name: object())

    assert model_files.scheduler_problem(model) is None


@pytest.mark.parametrize("has_it", [True, False])
def test_doctor_says_where_bfloat16_is_slow(
    model: Path, monkeypatch: pytest.MonkeyPatch, has_it: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_it})
    backend = DiffusersBackend(DiffusersSpec(model=str(model), dtype="bfloat16"), device="cpu")

    if has_it:
        assert all(each.ok for each in backend.check())
    else:
        assert "ten times slower" in finding(backend, "dtype").detail


def test_doctor_says_whether_torch_can_compile(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = DiffusersSpec(
        model=str(model), compile="on", compiled_folder=tmp_path, compiled_size=Size(64, 64)
    )
    backend = DiffusersBackend(spec, device="cpu")

    assert finding(backend, "compiling").ok

    monkeypatch.delattr(torch.compiler, "load_compiled_function")
    assert not compiler.can_compile()
    assert "cannot compile ahead of time" in finding(backend, "compiling").detail

"""`oxherd tune`: from votes to a LoRA that the bot offers."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from bot.cli.replay import replay
from bot.commands import app
from generation.diffusion.backend import DiffusersBackend
from generation.errors import BackendUnavailable
from generation.worker.specs import DiffusersSpec
from storage.vote import Rating
from tests.support.discord.world import Real, image_ids, world
from tests.support.generation.inline_worker import inline_workers
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_model import SIDE_PX, save_tiny_model
from tests.support.storage.voted import VOTES, write_tastes

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STEPS = 12
WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("votes") / "dataset"
    write_tastes(folder)

    return folder


@pytest.fixture(scope="module")
def tuned(model: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command made, from the beginning to the end without interruption."""
    out = tmp_path_factory.mktemp("tuned") / "redder"
    done = finished(command(out, model, dataset))
    assert done.exit_code == 0, done.stderr

    return out


def command(out: Path, model: Path, dataset: Path, **options: object) -> list[str]:
    given = {"steps": STEPS, "batch": 4, "devices": "cpu", **options}
    named = [part for name, value in given.items() for part in (f"--{name}", str(value))]

    return ["tune", "--out", str(out), "--base", str(model), "--dataset", str(dataset), *named]


def finished(line: list[str]) -> Result:
    """What came of the command. Its training is in a process of its own in any case."""
    return CliRunner().invoke(app, line)


def test_the_command_leaves_a_lora_with_its_card_and_nothing_else(tuned: Path, model: Path) -> None:
    assert sorted(file.name for file in tuned.parent.iterdir()) == [tuned.name]
    assert sorted(file.name for file in tuned.iterdir()) == ["README.md", "lora.json", WEIGHTS]
    card = (tuned / "README.md").read_text(encoding="utf-8")
    assert f"240 of {VOTES} votes were used" in card
    assert "| beta | 100.0 |" in card
    assert str(model) not in card
    assert any(
        weight.abs().max() > 0
        for name, weight in load_file(tuned / WEIGHTS).items()
        if "up" in name
    )


def test_the_bots_backend_serves_it_and_says_what_it_is_made_of(tuned: Path, model: Path) -> None:
    request = a_request("a fox", seeds=(1, 2), steps=2, side_px=SIDE_PX)
    made = {}
    for folder in (model, tuned):
        backend = DiffusersBackend(DiffusersSpec(model=str(folder)), device="cpu")
        assert all(finding.ok for finding in backend.check())
        backend.load()
        made[folder] = backend.generate(request, Onlooker())

    base, ours = made[model].provenance, made[tuned].provenance
    assert (ours.model, ours.versions["base"]) == (tuned.name, model.name)
    assert ours.versions["base_revision"] == base.revision
    assert ours.revision.startswith("sha256:")
    assert ours.revision != base.revision
    assert made[model].images[0].png != made[tuned].images[0].png


async def test_its_images_are_made_again_byte_for_byte(
    tuned: Path, model: Path, tmp_path: Path
) -> None:
    offered = {"model": str(model), "more_models": str(tuned), "sizes": f"{SIDE_PX}x{SIDE_PX}"}
    with inline_workers():
        async with world(tmp_path / "data", Real.OXEN, backend="diffusers", **offered) as here:
            message = await here.imagine(here.alice, "a fox", model=tuned.name)
            await here.vote(here.alice, message, 1, Rating.GOOD)
            await here.committed()

        replayed = await replay(
            here.settings,
            image_ids(message)[0],
            dataset=None,
            device="cpu",
            tell=lambda progress: None,
        )

    assert replayed.recorded.made_by["model"] == tuned.name
    assert replayed.differences == []
    assert replayed.same_bytes


@pytest.mark.long
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    tuned: Path, model: Path, dataset: Path, tmp_path: Path
) -> None:
    line = command(tmp_path / tuned.name, model, dataset)
    work = tmp_path / f"{tuned.name}.tuning"
    with subprocess.Popen([sys.executable, "-m", "bot", *line]) as process:
        while not (work / "checkpoint.pt").exists():
            assert process.poll() is None
            time.sleep(0.005)

        process.kill()

    assert not (tmp_path / tuned.name).exists()
    other = finished(command(tmp_path / tuned.name, model, dataset, rank=4))
    assert "with different options: rank. Give the same ones to go on" in other.stderr

    assert finished(line).exit_code == 0

    assert not work.exists()
    for name in (WEIGHTS, "README.md", "lora.json"):
        assert (tmp_path / tuned.name / name).read_bytes() == (tuned / name).read_bytes()


def test_too_few_votes_are_refused_with_how_many_are_missing(model: Path, tmp_path: Path) -> None:
    write_tastes(tmp_path / "dataset", votes=80)

    done = finished(command(tmp_path / "out", model, tmp_path / "dataset"))

    assert done.exit_code == 1
    assert "80 votes can be used, and at least 200 are needed: 120 are missing." in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_a_lora_whose_base_has_changed_is_refused_with_a_sentence(
    tuned: Path, model: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(model, tmp_path / "base")
    folder = shutil.copytree(tuned, tmp_path / "tuned")
    index = json.loads((folder / "lora.json").read_text())
    (folder / "lora.json").write_text(json.dumps({**index, "base": str(base)}))
    config = base / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")

    with pytest.raises(BackendUnavailable, match=r"which now is sha256:.* Restore that model"):
        DiffusersBackend(DiffusersSpec(model=str(folder)), device="cpu").load()


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ("{", "cannot be read"),
        ('{"base": "a/b", "weights": "w"}', "it has no 'base_revision'"),
        ('{"base": "a/b", "base_revision": "1", "weights": "../w"}', "which is not beside it"),
    ],
)
def test_doctor_says_what_is_wrong_with_a_lora(index: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "lora.json").write_text(index)
    backend = DiffusersBackend(DiffusersSpec(model=str(tmp_path)), device="cpu")

    findings = {finding.subject: finding for finding in backend.check()}

    assert not findings["model"].ok
    assert problem in findings["model"].detail


@pytest.mark.long
def test_two_processes_learn_what_one_does(
    tuned: Path, model: Path, dataset: Path, tmp_path: Path
) -> None:
    line = command(tmp_path / tuned.name, model, dataset, devices="cpu,cpu")

    done = finished(line)

    assert done.exit_code == 0, done.stderr
    alone, together = (load_file(folder / WEIGHTS) for folder in (tuned, tmp_path / tuned.name))
    for name, weight in alone.items():
        assert torch.allclose(weight, together[name], atol=1e-3)

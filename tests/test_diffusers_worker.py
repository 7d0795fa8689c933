"""A model through the whole executor, once in a process of its own and else on a thread."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from generation.errors import BackendUnavailable, Cancelled, RequestFailed
from generation.queue.executor import Executor
from generation.queue.job import JobState
from generation.queue.limits import ExecutorLimits
from generation.worker.backend import open_backend
from generation.worker.doctor import check_backend
from generation.worker.specs import BackendSpec, DiffusersSpec
from tests.support.generation.inline_worker import inline_workers
from tests.support.generation.requests import MODEL, a_request, stepping
from tests.support.generation.scripted_backend import one_model, scripted

IMPORT = """
import sys
import generation.queue.executor, generation.worker.doctor, generation.placeholder
print(sorted({"torch", "diffusers", "transformers", "accelerate"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> DiffusersSpec:
    # Imported here: processes that open a backend of this module must not import torch for it.
    from tests.support.generation.tiny_model import save_tiny_model

    return DiffusersSpec(model=str(save_tiny_model(tmp_path_factory.mktemp("worker"))))


@pytest.fixture
def on_a_thread() -> Iterator[None]:
    with inline_workers():
        yield


async def test_the_executor_makes_the_same_bytes_again_and_reads_no_commands_in_prompts(
    spec: DiffusersSpec,
) -> None:
    async with Executor.open({MODEL: spec}) as executor:
        jobs = [
            executor.submit(a_request(prompt, steps=4, side_px=64), owner=owner)
            for owner, prompt in enumerate(("a fox", "a fox", "a<|endoftext|>fox"))
        ]
        first, again, commanded = [await job.result() for job in jobs]

    assert first.images == again.images == commanded.images
    assert [image.seed for image in first.images] == [1, 2, 3, 4]
    assert first.provenance.model == "tiny-model"


@pytest.mark.usefixtures("on_a_thread")
@pytest.mark.stalls("the model holds the interpreter's lock, as it never does in the bot")
async def test_two_models_on_one_worker_make_what_each_makes_alone(
    spec: DiffusersSpec, tmp_path: Path
) -> None:
    other = replace(spec, model=str(shutil.copytree(spec.model, tmp_path / "other")))
    config = Path(other.model) / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.02"))
    async with Executor.open({MODEL: spec, "other": other}) as executor:
        one, two, again = [
            await executor.submit(a_request("a fox", side_px=64, model=model), owner=1).result()
            for model in (MODEL, "other", MODEL)
        ]

    async with Executor.open({MODEL: other}) as executor:
        alone = await executor.submit(a_request("a fox", side_px=64), owner=1).result()

    assert one.images == again.images != two.images
    assert two.images == alone.images
    assert two.provenance == alone.provenance
    assert (one.provenance.model, two.provenance.model) == ("tiny-model", "other")


@pytest.mark.usefixtures("on_a_thread")
@pytest.mark.stalls("the model holds the interpreter's lock, as it never does in the bot")
async def test_a_model_is_stopped_between_two_steps_and_serves_the_next(
    spec: DiffusersSpec,
) -> None:
    async with Executor.open({MODEL: spec}) as executor:
        job = executor.submit(a_request("a fox", steps=10_000, side_px=64), owner=1)
        progress = await stepping(job)
        job.cancel()

        with pytest.raises(Cancelled):
            await job.result()

        assert progress.state is JobState.RUNNING
        assert progress.steps >= 10_000
        await executor.submit(a_request("a fox", side_px=64), owner=1).result()
        assert executor.status().workers[0].restarts == 0


@pytest.mark.usefixtures("on_a_thread")
@pytest.mark.stalls("the model holds the interpreter's lock, as it never does in the bot")
async def test_a_size_that_the_model_cannot_make_fails_alone(spec: DiffusersSpec) -> None:
    async with Executor.open({MODEL: spec}) as executor:
        job = executor.submit(a_request("a fox", side_px=60), owner=1)

        with pytest.raises(RequestFailed, match="divisible by 8"):
            await job.result()

        await executor.submit(a_request("a fox", side_px=64), owner=1).result()
        assert executor.status().workers[0].restarts == 0


@pytest.mark.usefixtures("on_a_thread")
@pytest.mark.stalls("the model holds the interpreter's lock, as it never does in the bot")
async def test_a_missing_model_reaches_whoever_waits_as_a_sentence() -> None:
    spec = DiffusersSpec(model="/nowhere/model")
    async with Executor.open({MODEL: spec}, limits=ExecutorLimits(retry_s=60)) as executor:
        job = executor.submit(a_request(), owner=1)

        with pytest.raises(BackendUnavailable, match=r"folder /nowhere/model does not exist\."):
            await job.result()


def test_the_checkup_finds_device_model_family_and_engine(spec: DiffusersSpec) -> None:
    findings = open_backend(spec, device="cpu").check()

    assert [(finding.subject, finding.ok) for finding in findings] == [
        ("device", True),
        ("model", True),
        ("family", True),
        ("engine", True),
    ]
    assert findings[-1].detail.startswith("oxherd's own denoising loop")


@pytest.mark.parametrize(
    ("load", "timeout_s", "detail"),
    [
        ("refuse", 600, "RuntimeError: looked and fell over"),
        ("die", 600, "the process that checks it ended without an answer"),
        ("hang", 2, "no answer within 2 s"),
    ],
)
def test_a_checkup_that_fails_is_a_finding(
    tmp_path: Path, load: str, timeout_s: float, detail: str
) -> None:
    (finding,) = check_backend(one_model(tmp_path, load=load), device="cpu", timeout_s=timeout_s)

    assert (finding.ok, finding.detail) == (False, detail)


class MisspeltSpec(BackendSpec):
    backend = "generation.difusion.backend:DiffusersBackend"


def test_a_backend_that_cannot_be_imported_is_a_finding() -> None:
    (finding,) = check_backend({MODEL: MisspeltSpec()}, device="cpu")

    assert not finding.ok
    assert "No module named 'generation.difusion'" in finding.detail


def test_importing_the_package_imports_no_model_library() -> None:
    root = Path(__file__).parent.parent
    printed = subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=root, check=True, capture_output=True, text=True
    )

    assert printed.stdout == "[]\n"


def test_the_checkup_looks_for_every_model(tmp_path: Path) -> None:
    found = check_backend(
        {
            **one_model(tmp_path),
            "green": scripted(tmp_path),
            "red": scripted(tmp_path, load="refuse"),
        },
        device="cpu",
    )

    assert [(finding.subject, finding.ok) for finding in found] == [
        ("model", True),
        ("model green", True),
        ("backend red", False),
    ]

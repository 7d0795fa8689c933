"""A worker's libraries find an environment that was made for its device."""

import json
from pathlib import Path

import pytest

from generation.queue.executor import Executor
from generation.worker.environment import prepare
from tests.support.generation.requests import a_request
from tests.support.generation.scripted_backend import one_model

GPUS = "CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("device", "before", "visible", "here"),
    [
        pytest.param("cuda:1", None, "1", "cuda:0", id="the second of all"),
        pytest.param("cuda:1", "4,7", "7", "cuda:0", id="the second of those allowed"),
        pytest.param("cuda:1", "GPU-ab,GPU-cd", "GPU-cd", "cuda:0", id="by its name"),
        pytest.param("cuda", None, "0", "cuda", id="without a number"),
        pytest.param("auto", "3", "3", "auto", id="the best one"),
        pytest.param("cuda:2", "4,7", "4,7", "cuda:2", id="one that is not allowed"),
        pytest.param("auto", "", "", "auto", id="none allowed"),
        pytest.param("cpu", None, None, "cpu", id="CPU"),
        pytest.param("mps", None, None, "mps", id="Apple's"),
    ],
)
def test_a_worker_sees_no_other_gpu_than_its_own(
    device: str, before: str | None, visible: str | None, here: str
) -> None:
    environment = {} if before is None else {GPUS: before}

    assert prepare(environment, device=device) == here
    assert environment.get(GPUS) == visible


async def test_each_worker_is_prepared_for_its_own_device(tmp_path: Path) -> None:
    for device, gpu in (("cuda:0", "0"), ("cuda:1", "1")):
        folder = tmp_path / gpu
        folder.mkdir()
        async with Executor.open(one_model(folder, load="tell"), devices=(device,)) as executor:
            result = await executor.submit(a_request(), owner=1).result()

            (worker,) = executor.status().workers

        environment = json.loads((folder / "environment").read_text())
        assert environment[GPUS] == gpu
        assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
        assert result.provenance.device == "cuda:0"
        assert worker.device == device


def test_how_threads_wait_is_for_the_operator_to_say() -> None:
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}

    prepare(environment, device="cpu")

    assert environment["OMP_WAIT_POLICY"] == "ACTIVE"

"""Who is forgotten is nowhere, whatever is killed. The long run is `make chaos-forget`."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.kill_forgetting import chaos


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.long)])
def test_a_person_is_nowhere_and_all_other_votes_are_there_once(tmp_path: Path, kills: int) -> None:
    report = asyncio.run(chaos(tmp_path / "data", kills=kills, seed=7))

    assert report["problems"] == []
    assert sum(report["kills"].values()) >= kills
    assert report["votes"] > 0

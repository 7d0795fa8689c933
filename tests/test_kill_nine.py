"""What SIGKILL cannot take away. The long run is `python -m tests.kill_nine --kills 200`."""

import asyncio
from pathlib import Path

import pytest

from tests.kill_nine import chaos


@pytest.mark.timeout(240)
def test_no_acknowledged_vote_is_lost_or_doubled_by_kill_nine_under_load(tmp_path: Path) -> None:
    report = asyncio.run(chaos(tmp_path / "data", kills=6, seed=7, check_every=6, most_s=2.0))

    assert report["problems"] == []
    assert sum(report["kills"].values()) == 6
    assert report["votes"]["acknowledged"] > 0
    assert report["rows"] > 0
    assert report["unknown_requests"] == []

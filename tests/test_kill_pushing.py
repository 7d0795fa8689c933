"""What SIGKILL in a push cannot take away. The long run is `python -m tests.chaos.kill_pushing`."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.kill_pushing import chaos
from tests.support.remote import oxen_server


@oxen_server.needed
@pytest.mark.timeout(600)
def test_no_acknowledged_vote_is_lost_or_doubled_on_the_server_by_kill_nine_in_a_push(
    tmp_path: Path,
) -> None:
    report = asyncio.run(chaos(tmp_path, kills=4, seed=7, check_every=4))

    assert report["problems"] == []
    assert report["kills_in_a_push"] == 4
    assert report["votes"]["acknowledged"] > 0
    assert report["rows_on_the_server"] == report["rows"] > 0
    assert report["unknown_requests"] == []

"""What a power cut cannot take away. The long run is `make chaos-power`."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.power_cuts import missing, power_cuts


@pytest.mark.long
@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_no_acknowledged_vote_is_lost_by_a_power_cut_soon_after_the_first_start(
    tmp_path: Path,
) -> None:
    report = asyncio.run(power_cuts(tmp_path, cuts=1, seed=1, most_s=15))

    assert report["problems"] == []
    assert report["kills"] == {"power": 1}

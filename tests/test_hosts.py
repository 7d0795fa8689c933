"""Real hosts of a real Ray cluster. The long run is `make chaos-hosts`."""

import asyncio
from pathlib import Path

import pytest

from generation.cluster.doctor import check_cluster
from generation.cluster.settings import ClusterSettings
from tests.chaos.hosts import chaos
from tests.support.generation.loopback_cluster import TWO_WORKERS


@pytest.mark.long
def test_no_request_is_lost_or_made_twice_when_hosts_die_freeze_and_join(tmp_path: Path) -> None:
    report = asyncio.run(chaos(tmp_path / "data", requests=60, people=6))

    assert report["problems"] == []
    assert report["answers"] == {"images": 60}
    assert set(report["hosts_at_the_end"].values()) == {"c", None}


@pytest.mark.long
def test_doctor_says_why_a_cluster_cannot_be_used() -> None:
    nobody = ClusterSettings(
        address="127.0.0.1:1", workers=1, gpus=1, resources={}, folder=TWO_WORKERS.folder
    )

    finding = check_cluster(nobody)

    assert not finding.ok
    assert finding.detail.startswith("127.0.0.1:1: ")

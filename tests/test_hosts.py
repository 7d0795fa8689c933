"""Real hosts of a real Ray cluster. The long run is `make chaos-hosts`."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from generation.cluster.doctor import check_cluster
from tests.support.generation.loopback_cluster import TWO_WORKERS
from tests.support.generation.ray_nodes import RayNodes


@pytest.mark.long
def test_no_request_is_lost_or_made_twice_when_hosts_die_freeze_are_cut_off_and_join() -> None:
    command = [sys.executable, "-m", "tests.chaos.hosts", "--requests", "60", "--people", "6"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    report = json.loads(ended.stdout)

    assert report["problems"] == []
    assert report["answers"] == {"images": report["requests"]}
    assert set(report["hosts_at_the_end"].values()) == {"b", "c"}


@pytest.mark.long
def test_doctor_says_why_a_cluster_cannot_be_used() -> None:
    nobody = check_cluster(replace(TWO_WORKERS, address="127.0.0.1:1"))

    assert not nobody.ok
    assert nobody.detail.startswith("127.0.0.1:1: ")


@pytest.mark.long
async def test_a_cluster_that_is_open_to_anybody_is_refused() -> None:
    async with RayNodes.running(open_to_anybody=True) as nodes:
        found = await asyncio.to_thread(check_cluster, replace(TWO_WORKERS, address=nodes.address))

    assert not found.ok
    assert "it takes commands from anybody who reaches it" in found.detail

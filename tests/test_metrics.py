"""What Prometheus reads, what the dashboard shows, and the log as JSON lines."""

import json
import logging
import re
import socket
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.cli.control_server import current_status
from bot.log import JsonLines
from bot.monitoring.metrics import served
from bot.settings import SettingsError
from storage.dataset.memory import MemoryRepository
from storage.remote.pusher import Remote
from storage.remote.settings import RemoteSettings
from storage.store import VoteStore
from storage.vote import Rating
from tests.support.discord.world import World, world
from tests.support.remote.scripted_remote import ScriptedProcess, ScriptedRemote
from tests.support.storage.data import PROVENANCE, a_set, four_images

PATIENCE_S = 30.0
DASHBOARD = Path(__file__).parents[1] / "docs" / "grafana.json"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]

    return port


async def scraped(w: World) -> str:
    status = partial(current_status, w.settings, w.parts.store, w.parts.executor, w.client)
    async with (
        served(w.settings, status),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{w.settings.metrics_port}/metrics") as response,
    ):
        assert response.status == 200

        return await response.text()


async def test_prometheus_reads_what_status_tells(tmp_path: Path) -> None:
    async with world(tmp_path, metrics_port=free_port()) as w:
        await w.imagine(w.alice, "a fox")
        text = await scraped(w)

    assert "oxherd_requests_waiting 0.0" in text
    assert 'oxherd_workers{state="idle"} 1.0' in text
    assert 'oxherd_worker_restarts{worker="cpu"} 0.0' in text
    shown = set(re.findall(r"oxherd_\w+", DASHBOARD.read_text(encoding="utf-8")))
    told = set(re.findall(r"^# HELP (oxherd_\w+)", text, re.MULTILINE))
    assert shown - told == {"oxherd_commits_unpushed_oldest_seconds"}  # without a remote


async def test_a_port_that_is_taken_is_said_with_its_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with world(tmp_path, metrics_port=taken.getsockname()[1]) as w:
            with pytest.raises(SettingsError, match=r"OXHERD_METRICS_PORT: .* in use"):
                await scraped(w)


def test_a_line_of_the_log_as_json_has_its_time_its_level_and_its_cause() -> None:
    cause = (ValueError, ValueError("a cause"), None)
    record = logging.LogRecord("bot.app", logging.ERROR, __file__, 1, "%s failed", ("it",), cause)

    line = json.loads(JsonLines().format(record))

    assert line["message"] == "it failed"
    assert (line["level"], line["logger"]) == ("error", "bot.app")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
    assert line["error"].endswith("ValueError: a cause")


async def test_one_vote_can_be_followed_through_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = "http://127.0.0.1:1/ox/votes"
    remote = Remote(
        settings=RemoteSettings.at(url, branch="main", token="", create=True),
        start=lambda: ScriptedProcess(ScriptedRemote()),
    )
    async with VoteStore.open(
        tmp_path, repository=MemoryRepository(), keep_unvoted=timedelta(days=7), remote=remote
    ) as store:
        await store.add_request(a_set())
        await store.add_images("set-0", four_images(), provenance=PROVENANCE)
        for voter in (1, 2, 3):
            await store.vote("set-0-1", voter, Rating.GOOD)
            await store.vote("set-0-1", voter, Rating.GOOD)  # again, which changes nothing
            assert await store.settle(PATIENCE_S)

        *_, pressed, _ = (line for line in logged(caplog) if "recorded" in line["message"])
        seq, _ = pressed["changes"]
        followed = [
            line["message"]
            for line in logged(caplog)
            if "changes" in line and line["changes"][0] <= seq <= line["changes"][1]
        ]

    press, commit, push = followed
    assert press == f"change {seq}: set set-0, image 1: recorded"
    assert re.fullmatch(rf"committed the changes up to {seq} as \w+", commit)
    assert push == f"pushed the changes up to {seq} as {commit.split()[-1]} to {url}"


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records]

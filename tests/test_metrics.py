"""What Prometheus reads, what the dashboard shows, and the log as JSON lines."""

import json
import logging
import re
import socket
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from bot.cli.control_server import current_status
from bot.log import JsonLines
from bot.monitoring.metrics import served
from bot.settings import SettingsError
from tests.support.discord.world import World, world

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

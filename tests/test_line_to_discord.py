"""What becomes of the gateway connection, and what the log says of it."""

import asyncio
import logging
from functools import partial
from pathlib import Path

import pytest
from discord.http import Route
from pydantic import SecretStr

from bot import app, log
from bot.errors import CannotConnect
from bot.settings import SettingsError
from storage.dataset.memory import MemoryRepository
from tests.support.discord import payloads, rest
from tests.support.discord.on_stub import PATIENCE_S, on_stub
from tests.support.discord.stub import DiscordStub
from tests.support.discord.world import quick_settings
from tests.support.generation.inline_worker import inline_workers


async def test_an_event_that_cannot_be_read_is_logged_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with on_stub(tmp_path, monkeypatch) as bot:
        await bot.stub.send_event("GUILD_UPDATE", {"id": "not a number"})
        await bot.ask()
        await bot.posted()

        [message] = bot.messages()
        assert len(message.attachments) == 4
        assert "GUILD_UPDATE could not be read" in caplog.text


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        (4004, SettingsError, "does not accept OXHERD_TOKEN"),
        (4013, CannotConnect, "connection to Discord ended: .*4013"),
    ],
)
async def test_the_cause_of_a_connection_that_ended_is_said_and_logged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
    error: type[Exception],
    sentence: str,
) -> None:
    monkeypatch.setattr(app, "opened", partial(app.opened, repository=MemoryRepository()))
    settings = quick_settings(tmp_path, token=SecretStr(payloads.TOKEN))
    async with DiscordStub.open() as stub:
        monkeypatch.setattr(Route, "BASE", stub.url)
        with inline_workers():
            running = asyncio.create_task(app.run(settings))
            await asyncio.wait_for(stub.connected.wait(), PATIENCE_S)
            await stub.close_gateway(code)
            with pytest.raises(error, match=sentence):
                await running

    assert f"closed with {code}" in caplog.text


async def test_a_connection_that_was_lost_and_is_back_is_a_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="bot.chat.client")
    async with on_stub(tmp_path, monkeypatch) as bot:
        await bot.stub.close_gateway(4000)
        await asyncio.wait_for(bot.stub.disconnected.wait(), PATIENCE_S)
        await asyncio.wait_for(bot.stub.connected.wait(), PATIENCE_S)
        await bot.ask()

        assert "shard 0 lost its connection" in caplog.text
        assert "shard 0 is connected again" in caplog.text


def test_debug_shows_what_discord_py_logs_and_no_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    root, vendor = logging.getLogger(), logging.getLogger("discord")
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(vendor, "level", vendor.level)

    log.configure("debug")
    assert vendor.getEffectiveLevel() == logging.INFO

    log.configure("info")
    assert vendor.getEffectiveLevel() == logging.WARNING


async def test_a_model_of_a_command_that_is_out_of_date_is_refused_with_the_offered_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stub(tmp_path, monkeypatch) as bot:
        asked = await bot.ask(model="gone-model")

        said = asked.answered.result().content
        assert "model “gone\\-model” is not offered here" in said
        assert bot.messages() == []


async def test_a_typo_and_a_full_queue_are_a_line_each_and_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    slow = {"placeholder_step_seconds": 0.5, "default_steps": 100}
    async with on_stub(tmp_path, monkeypatch, max_waiting=1, **slow) as bot:
        await bot.ask()
        await bot.ask()
        await bot.ask()
        await bot.ask(steps=100_000)

        lines = [record for record in caplog.records if "interaction" in record.getMessage()]
        assert len(lines) == 2
        assert {record.levelno for record in lines} == {logging.INFO}


async def test_an_interaction_that_expired_is_one_line_and_its_request_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with on_stub(tmp_path, monkeypatch) as bot:
        with monkeypatch.context() as patched:
            patched.setattr(rest, "ACKNOWLEDGE_WITHIN_S", -1)
            await bot.stub.command(1, "imagine", prompt="a fox")
            async with asyncio.timeout(PATIENCE_S):
                while not (lines := _lines(caplog)):  # noqa: ASYNC110  # the log has no events
                    await asyncio.sleep(0.01)

        await bot.posted()
        assert [record.levelno for record in lines] == [logging.INFO]
        assert await bot.parts.store.unfinished_sets() == []
        assert bot.messages() == []


def _lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if "interaction" in record.getMessage()]

"""`oxherd doctor` asks Discord whether the token is valid, and how to invite the bot."""

import asyncio
from pathlib import Path

import pytest
from discord.http import Route
from pydantic import SecretStr

from bot.cli.doctor import examine
from generation.worker.backend import Finding
from tests.support.discord.payloads import APPLICATION_ID, TOKEN
from tests.support.discord.stub import DiscordStub
from tests.support.discord.world import quick_settings


async def token_finding(data: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> Finding:
    async with DiscordStub.open() as stub:
        monkeypatch.setattr(Route, "BASE", stub.url)
        settings = quick_settings(data, token=SecretStr(token))
        findings = await asyncio.to_thread(examine, settings)

    return next(finding for finding in findings if finding.subject == "token")


async def test_a_valid_token_comes_with_the_invite_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = await token_finding(tmp_path / "absent", TOKEN, monkeypatch)

    assert finding.ok
    assert f"client_id={APPLICATION_ID}" in finding.detail
    assert "scope=bot+applications.commands" in finding.detail
    assert not (tmp_path / "absent").exists()


async def test_a_token_that_discord_refuses_is_something_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = await token_finding(tmp_path, TOKEN[:-3] + "new", monkeypatch)

    assert not finding.ok
    assert "does not accept" in finding.detail

"""`oxherd sync-commands` against the stand-in for Discord."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from discord.http import Route
from pydantic import SecretStr

from bot.cli.sync_commands import register
from bot.settings import Settings, SettingsError
from tests.support.discord.payloads import GUILD_ID, TOKEN
from tests.support.discord.stub import DiscordStub
from tests.support.discord.world import quick_settings

NAMES = [
    "imagine",
    "rate",
    "show",
    "privacy",
    "me",
    "top",
    "leaderboard",
    "oxherd",
    "Remove from dataset",
    "Report",
]


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordStub]:
    async with DiscordStub.open() as opened:
        monkeypatch.setattr(Route, "BASE", opened.url)
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return quick_settings(tmp_path, token=SecretStr(TOKEN))


def names(stub: DiscordStub, where: str | None) -> list[str]:
    return [command["name"] for command in stub.commands.get(where, [])]


async def test_registering_everywhere_removes_the_one_in_a_server(
    stub: DiscordStub, settings: Settings
) -> None:
    await register(settings, guild_id=GUILD_ID)
    said = await register(settings, guild_id=None)

    assert names(stub, None) == NAMES
    assert names(stub, str(GUILD_ID)) == []
    assert said == [
        (
            "Registered everywhere: /imagine, /rate, /show, /privacy, /me, /top, /leaderboard, "
            "/oxherd, “Remove from dataset”, “Report”."
        ),
        f"Removed in server {GUILD_ID}, which would have it twice.",
    ]


async def test_registering_in_a_server_names_the_one_everywhere(
    stub: DiscordStub, settings: Settings
) -> None:
    await register(settings, guild_id=None)
    said = await register(settings, guild_id=GUILD_ID)

    assert names(stub, str(GUILD_ID)) == NAMES
    assert "this server has it twice" in said[1]


async def test_remove_leaves_nothing(stub: DiscordStub, settings: Settings) -> None:
    await register(settings, guild_id=None)
    said = await register(settings, guild_id=None, remove=True)

    assert names(stub, None) == []
    assert said == ["Removed everywhere."]


@pytest.mark.parametrize(
    ("guild_id", "sentence"),
    [
        (400, "Discord refuses the command: .*Invalid Form Body"),
        (403, "may not register commands in server 403"),
        (404, "knows no server 404"),
    ],
)
@pytest.mark.usefixtures("stub")
async def test_each_refusal_says_what_it_is(
    settings: Settings, guild_id: int, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        await register(settings, guild_id=guild_id)

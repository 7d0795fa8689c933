"""Which servers are served, and what members of one can do to images of another."""

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.http import Route
from pydantic import SecretStr

from bot.cli.doctor import examine
from generation.worker.backend import Finding
from storage.vote import Rating
from tests.support.discord.payloads import GUILD_ID, TOKEN
from tests.support.discord.servers import other_server, pressed_in, serve_both
from tests.support.discord.stub import DiscordStub
from tests.support.discord.world import (
    buttons,
    quick_settings,
    seen,
    set_button,
    text_of,
    vote_ids,
    world,
)


async def test_without_a_setting_only_the_server_that_the_bot_joined_first_is_served(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)

        refused = await other.member.slash(other.channel, "imagine", prompt="a fox")
        served = await w.imagine(w.alice, "a fox")

        assert "this is none of them" in text_of(seen(refused).message)
        assert seen(refused).ephemeral
        assert len(served.attachments) == 4


async def test_a_server_that_is_not_listed_is_refused_for_buttons_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        w.settings = w.settings.model_copy(update={"guilds": (w.guild.id + 1,)})
        await w.restart()

        answers = [await w.press(w.bob, message, custom_id) for custom_id in buttons(message)]
        await w.committed()

        assert all("this is none of them" in text_of(seen(each).message) for each in answers)
        assert w.rows() == []


async def test_images_of_a_different_server_are_unknown(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)
        await serve_both(w, other)
        secret = await w.imagine(w.alice, "a secret fox")
        await other.member.slash(other.channel, "imagine", prompt="an owl")
        await w.posted()
        there = other.channel.last_message
        assert isinstance(there, discord.Message)

        answers = {
            custom_id: text_of(seen(await pressed_in(other, w, secret, custom_id)).message)
            for custom_id in buttons(secret)
        }
        own = await other.member.click(there, custom_id=vote_ids(there)[1, Rating.GOOD])
        await w.committed()

        assert all("know this" in said for said in answers.values()), answers
        assert "secret" not in " ".join(answers.values())
        assert "recorded" in text_of(seen(own).message)
        assert [row["prompt"] for row in w.rows()] == ["an owl"]


@pytest.mark.parametrize("menu", ["Report", "Remove from dataset"])
async def test_a_message_with_buttons_of_a_different_server_leads_nowhere(
    tmp_path: Path, menu: str
) -> None:
    """Any application may put any custom id on its own messages."""
    async with world(tmp_path) as w:
        other = other_server(w)
        await serve_both(w, other)
        secret = await w.imagine(w.alice, "a secret fox")
        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label="Again", custom_id=set_button(secret, "again")))
        view.stop()
        channel = w.client.get_channel(other.channel.id)
        assert isinstance(channel, discord.TextChannel)
        forged = await channel.send("forged", view=view)
        role = other.guild.create_role(
            "mods", permissions=discord.Permissions(manage_messages=True)
        )
        moderator = other.guild.add_member(w.env.create_user("moderator"), roles=[role])

        answer = await moderator.context_menu(other.channel, menu, forged)

        assert "no images of mine" in text_of(seen(answer).message)


async def test_commands_cannot_be_installed_by_users(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        commands = w.client.tree.get_commands()
        commands += w.client.tree.get_commands(type=discord.AppCommandType.message)

        assert {command.name for command in commands} >= {"imagine", "oxherd"}
        for command in commands:
            installs = command.to_dict(w.client.tree)["integration_types"]
            assert installs == [0], command.name


async def servers_finding(data: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Finding:
    async with DiscordStub.open() as stub:
        monkeypatch.setattr(Route, "BASE", stub.url)
        chosen = quick_settings(data, token=SecretStr(TOKEN), **settings)
        findings = await asyncio.to_thread(examine, chosen)

    return next(finding for finding in findings if finding.subject == "servers")


async def test_doctor_says_which_servers_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await servers_finding(tmp_path, monkeypatch)
    absent = await servers_finding(tmp_path, monkeypatch, guilds=f"{GUILD_ID}, 5")

    assert first.ok
    assert "serves the one that it joined first" in first.detail
    assert not absent.ok
    assert "names 5, where the bot is no member" in absent.detail

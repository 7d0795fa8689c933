"""Each server has a moderators' channel of its own, or else the operator's."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.utils import time_snowflake

from bot.chat import moderators
from bot.chat.custom_ids import ReviewId
from storage.acts import AlarmLimits
from storage.vote import Rating
from tests.support.discord.servers import Other, other_server, pressed_in, serve_both
from tests.support.discord.world import World, buttons, image_ids, seen, text_of, world


async def choose(w: World, moderator: Any, where: Any, channel: Any) -> str:
    """`/oxherd channel`; what the moderator reads."""
    answer = await moderator.slash(where, "oxherd channel", channel=channel)
    assert seen(answer).ephemeral

    return text_of(seen(answer).message)


async def look(w: World) -> None:
    """What the bot does every 15 s."""
    await moderators.tell_news(w.settings, w.parts.store, w.client)


def said(channel: Any) -> list[str]:
    """What stands in the channel, oldest first, but that it was chosen."""
    return [
        message.content
        for message in channel.history()
        if not message.content.startswith("From now on")
    ]


def other_moderator(w: World, other: Other) -> Any:
    """A moderator of the second server."""
    role = other.guild.create_role(
        "moderators", permissions=discord.Permissions(manage_guild=True, manage_messages=True)
    )

    return other.guild.add_member(w.env.create_user("moderator there"), roles=[role])


async def test_each_server_is_told_its_own(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)
        await serve_both(w, other)
        here = w.guild.create_text_channel("moderators")
        there = other.guild.create_text_channel("moderators")
        mod, mod_there = w.moderator(), other_moderator(w, other)

        chosen = await choose(w, mod, w.channel, here)
        await choose(w, mod_there, other.channel, there)
        await w.restart()
        await mod.slash(w.channel, "oxherd ban", member=w.bob, reason="a test")
        await look(w)

        assert f"told in <#{here.id}>" in chosen
        assert [line.split("**")[1] for line in said(here)] == [
            "choice of a channel for moderators",
            "ban",
        ]
        assert [line.split("**")[1] for line in said(there)] == [
            "choice of a channel for moderators"
        ]


async def test_a_report_goes_to_its_server_and_is_decided_there(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)
        await serve_both(w, other)
        here = w.guild.create_text_channel("moderators")
        await choose(w, w.moderator(), w.channel, here)
        message = await w.imagine(w.alice, "a fox")

        await w.bob.context_menu(w.channel, "Report", message)
        [report] = (each for each in here.history() if buttons(each))
        remove = next(id for id in buttons(report) if ReviewId.parse(id).action == "remove")
        as_mod = Other(other.guild, other.channel, other_moderator(w, other))
        await pressed_in(as_mod, w, report, remove)
        kept = len(w.last_message().attachments)
        await w.moderator().click(report, custom_id=remove)

        assert kept == 4
        assert w.last_message().attachments == []


async def test_an_alarm_is_set_aside_in_its_server_only(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)
        await serve_both(w, other)
        here = w.guild.create_text_channel("moderators")
        await choose(w, w.moderator(), w.channel, here)
        image_id = image_ids(await w.imagine(w.alice, "a fox"))[0]
        now = datetime.now(UTC)
        for number in range(AlarmLimits().new_accounts):
            await w.parts.store.vote(
                image_id, time_snowflake(now) + number, Rating.GOOD, guild_id=w.guild.id
            )

        await look(w)
        [alarm] = (each for each in here.history() if buttons(each))
        [button] = buttons(alarm)
        as_mod = Other(other.guild, other.channel, other_moderator(w, other))
        refused = await pressed_in(as_mod, w, alarm, button)
        done = await w.moderator().click(alarm, custom_id=button)

        assert "None of these votes counts" in text_of(seen(refused).message)
        assert f"{AlarmLimits().new_accounts} votes set aside" in text_of(seen(done).message)


async def test_a_channel_that_takes_nothing_keeps_back_no_other_servers_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)
        await serve_both(w, other)
        here = w.guild.create_text_channel("moderators")
        there = other.guild.create_text_channel("moderators")
        await choose(w, w.moderator(), w.channel, here)
        await choose(w, other_moderator(w, other), other.channel, there)
        w.env.inject_error("POST", f"/channels/{here.id}/messages", status=403)

        await look(w)
        first = said(here), said(there)
        await look(w)

        assert [len(lines) for lines in first] == [0, 1]
        assert len(said(here)) == len(said(there)) == 1
        assert "did not take a message" in caplog.text


async def test_a_channel_where_the_bot_may_not_write_is_not_chosen(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        channel = w.guild.create_text_channel("moderators")
        w.env.inject_error("POST", f"/channels/{channel.id}/messages", status=403)

        answer = await choose(w, w.moderator(), w.channel, channel)

        assert f"I may not write in <#{channel.id}>" in answer
        assert (await w.parts.store.moderation.rules(w.guild.id)).moderators_channel is None

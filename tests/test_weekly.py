"""The best images of the week are posted once, also if the bot is killed around the moment."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.chat.standing import weekly
from bot.chat.standing.commands import WEEK
from storage.acts import ActKind
from storage.errors import StoreClosing
from storage.standing.store import StandingStore
from storage.vote import Rating
from tests.support.discord.world import World, seen, text_of, vote_ids, world


async def choose(w: World, channel: Any = None) -> str:
    """What a moderator reads."""
    options = {} if channel is None else {"channel": channel}
    answer = await w.moderator().slash(w.channel, "oxherd weekly", **options)

    return seen(answer).content


async def look(w: World, now: datetime) -> None:
    await weekly.post_due(w.parts.store, w.client, w.parts.requests.gate, now=now)
    await w.env.settle()


def next_monday() -> datetime:
    return weekly.last_due(discord.utils.utcnow()) + WEEK


def posts(channel: Any) -> list[discord.Message]:
    return [message for message in channel.history() if "The best images" in text_of(message)]


async def liked(w: World, prompt: str = "a fox") -> None:
    message = await w.imagine(w.alice, prompt)
    await w.press(w.bob, message, vote_ids(message)[1, Rating.GOOD])


async def test_the_best_images_are_posted_once_a_week(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        channel = w.guild.create_text_channel("best")
        await liked(w)
        assert f"posted in <#{channel.id}>" in await choose(w, channel)

        await look(w, discord.utils.utcnow())
        assert posts(channel) == []  # the first one is the next that is due

        for _ in range(2):
            await look(w, next_monday())
        await w.restart()
        await look(w, next_monday() + timedelta(days=3))
        [post] = posts(channel)
        assert f"1. a fox · 1 👍 0 👎 · for <@{w.alice.id}>" in text_of(post)
        image, plot = post.attachments
        assert image.filename.endswith(".jpg")
        assert (await plot.read()).startswith(b"\x89PNG")

        await look(w, next_monday() + WEEK)
        assert len(posts(channel)) == 2

        assert "no longer posted" in await choose(w)
        await look(w, next_monday() + 2 * WEEK)
        assert len(posts(channel)) == 2


async def test_a_kill_after_discord_has_the_post_posts_no_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        channel = w.guild.create_text_channel("best")
        await liked(w)
        await choose(w, channel)

        async def killed(self: StandingStore, guild_id: int, day: object) -> None:
            raise StoreClosing.now()

        with monkeypatch.context() as patch:
            patch.setattr(StandingStore, "finish_weekly_post", killed)
            with pytest.raises(StoreClosing):
                await look(w, next_monday())

        assert len(posts(channel)) == 1
        await w.restart()
        await look(w, next_monday())
        assert len(posts(channel)) == 1


async def test_a_kill_before_discord_has_the_post_loses_none(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        channel = w.guild.create_text_channel("best")
        await liked(w)
        await choose(w, channel)
        day = next_monday().date()
        assert await w.parts.store.standing.begin_weekly_post(w.guild.id, day) == 1
        await w.restart()

        await look(w, next_monday())
        assert len(posts(channel)) == 1


async def test_what_discord_does_not_take_is_posted_later(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        channel = w.guild.create_text_channel("best")
        await liked(w)
        await choose(w, channel)
        w.env.inject_error("POST", f"/channels/{channel.id}/messages", status=403)

        await look(w, next_monday())
        assert posts(channel) == []
        await look(w, next_monday())
        assert len(posts(channel)) == 1


async def test_images_of_channels_that_not_everybody_sees_are_not_posted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        channel = w.guild.create_text_channel("best")
        await liked(w)
        await choose(w, channel)
        guild = w.client.get_guild(w.guild.id)
        assert guild is not None
        asked_in: Any = guild.get_channel(w.channel.id)
        await asked_in.set_permissions(guild.default_role, view_channel=False)
        await w.env.settle()

        await look(w, next_monday())
        assert posts(channel) == []


async def test_the_choice_is_an_act_and_the_post_is_in_the_servers_language(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        w.server_speaks("de")
        channel = w.guild.create_text_channel("best")
        await liked(w)
        await choose(w, channel)
        [act] = await w.parts.store.moderation.untold(limit=9)
        assert act.kind is ActKind.WEEKLY

        await look(w, next_monday())
        [told, post] = list(channel.history())
        assert "Ab " in told.content
        assert "Die besten Bilder der Woche" in text_of(post)


def test_a_post_is_due_on_mondays_at_noon() -> None:
    monday = datetime.fromisoformat("2026-11-30T12:00:00+00:00")

    assert weekly.last_due(monday) == monday
    assert weekly.last_due(monday - timedelta(seconds=1)) == monday - WEEK
    assert weekly.last_due(monday + timedelta(days=6, hours=23)) == monday

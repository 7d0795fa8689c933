"""New accounts that vote on one image together are told to the moderators."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import discord

from bot.chat import moderators
from storage.vote import Rating
from tests.support.discord.world import World, buttons, image_ids, seen, text_of, world


def account(number: int, *, age: timedelta) -> int:
    """The id of an account of this age."""
    return discord.utils.time_snowflake(datetime.now(UTC) - age) + number


async def vote(w: World, image_id: str, voters: list[int]) -> None:
    for voter in voters:
        await w.parts.store.vote(image_id, voter, Rating.GOOD, guild_id=w.guild.id)


async def test_forty_new_accounts_on_one_image_are_one_alarm_with_a_button(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        channel = w.guild.create_text_channel("moderators")
        settings = w.settings.model_copy(update={"moderators_channel": channel.id})
        first, second, *_ = image_ids(await w.imagine(w.alice, "a fox"))
        new = [account(number, age=timedelta(days=2)) for number in range(40)]
        old = [account(number, age=timedelta(days=400)) for number in range(20)]
        await vote(w, first, [*new, *old])
        await vote(w, second, [*new[:9], *old])

        for _ in range(2):
            await moderators.tell_news(settings, w.parts.store, w.client)
        [alarm] = channel.history()
        await w.restart()
        [button] = buttons(alarm)
        refused = await w.bob.click(alarm, custom_id=button)
        done = await w.moderator().click(alarm, custom_id=button)
        await w.committed()

        assert f"40 accounts younger than 30 days voted on image `{first}`" in alarm.content
        assert f"<@{new[0]}>" in alarm.content
        assert "Only members who may manage messages" in text_of(seen(refused).message)
        assert "40 votes set aside" in text_of(seen(done).message)
        left = {row["voter_id"] for row in w.rows() if row["image_id"] == first}
        assert left == {str(voter) for voter in old}
        assert sum(row["image_id"] == second for row in w.rows()) == 29

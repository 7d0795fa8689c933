"""Accounts that vote together, new ones or such that agree, are told to the moderators."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import discord

from bot.chat import moderators
from storage.acts import ActKind
from storage.vote import Rating, ShownIn
from tests.support.discord.world import World, buttons, image_ids, seen, text_of, world


def account(number: int, *, age: timedelta) -> int:
    """The id of an account of this age."""
    return discord.utils.time_snowflake(datetime.now(UTC) - age) + number


async def vote(w: World, image_id: str, voters: list[int], rating: Rating = Rating.GOOD) -> None:
    for voter in voters:
        await w.parts.store.vote(image_id, voter, rating, guild_id=w.guild.id)


async def told(w: World, **settings: int) -> list[discord.Message]:
    """The alarms, in a moderators' channel of their own, with these settings."""
    channel = w.guild.create_text_channel("alarms")
    changed = w.settings.model_copy(update={"moderators_channel": channel.id, **settings})
    for _ in range(2):
        await moderators.tell_news(changed, w.parts.store, w.client)

    return [message for message in channel.history() if buttons(message)]


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


async def test_new_accounts_on_several_images_of_one_author_are_one_alarm(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        images = image_ids(await w.imagine(w.alice, "a fox"))
        others = image_ids(await w.imagine(w.bob, "an owl"))
        new = [account(number, age=timedelta(days=2)) for number in range(12)]
        old = [account(number, age=timedelta(days=400)) for number in range(5)]
        for number, voter in enumerate(new):
            await vote(w, images[number % 4], [voter])
            await vote(w, others[number % 4], [voter][number % 2 :])

        await vote(w, images[0], old)

        [alarm] = await told(w)
        [button] = buttons(alarm)
        await w.restart()
        done = await w.moderator().click(alarm, custom_id=button)
        await w.committed()
        [*_, act] = await w.parts.store.moderation.untold(limit=10)

        assert f"12 accounts younger than 30 days voted on images of <@{w.alice.id}>" in (
            alarm.content
        )
        assert "12 votes set aside" in text_of(seen(done).message)
        left = {row["voter_id"] for row in w.rows() if row["image_id"] in images}
        assert left == {str(voter) for voter in old}
        assert sum(row["image_id"] in others for row in w.rows()) == 6
        assert (act.kind, act.member_id, act.votes) == (ActKind.SET_ASIDE, w.alice.id, 12)


async def test_accounts_of_any_age_that_agree_on_one_image_are_an_alarm(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        targeted, popular, *_ = image_ids(await w.imagine(w.alice, "a fox"))
        old = [account(number, age=timedelta(days=400)) for number in range(9)]
        await vote(w, targeted, old, Rating.BAD)
        await vote(w, targeted, [w.bob.id])
        await vote(w, popular, old)
        await vote(w, popular, [1, 2], Rating.BAD)

        [alarm] = await told(w, alarm_agreeing=9)
        [button] = buttons(alarm)
        done = await w.moderator().click(alarm, custom_id=button)
        await w.committed()

        assert f"9 accounts gave image `{targeted}` of request" in alarm.content
        assert "the same 👎" in alarm.content
        assert "9 votes set aside" in text_of(seen(done).message)
        left = [row["voter_id"] for row in w.rows() if row["image_id"] == targeted]
        assert left == [str(w.bob.id)]


async def test_accounts_that_rate_many_images_of_one_author_alike_are_an_alarm(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        images = [
            image_id
            for prompt in ("a fox", "a crow")
            for image_id in image_ids(await w.imagine(w.alice, prompt))
        ]
        brigade = [account(number, age=timedelta(days=400)) for number in range(6)]
        for number, voter in enumerate(brigade):
            for step in range(3):
                await vote(w, images[(number + step) % 8], [voter], Rating.BAD)

        for number, image_id in enumerate(images):  # looks at each image
            await vote(w, image_id, [w.bob.id], (Rating.GOOD, Rating.BAD)[number % 2])

        [alarm] = await told(w, alarm_agreeing=6)
        [button] = buttons(alarm)
        done = await w.moderator().click(alarm, custom_id=button)
        again = await told(w, alarm_agreeing=6)

        assert f"6 accounts gave 3 or more images of <@{w.alice.id}> nothing but 👎" in (
            alarm.content
        )
        assert "18 votes set aside" in text_of(seen(done).message)
        assert again == []


async def test_gold_that_everybody_is_shown_is_no_alarm(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        gold, *_ = image_ids(await w.imagine(w.alice, "a fox"))
        for number in range(40):
            await w.parts.store.vote(
                gold,
                account(number, age=timedelta(days=2)),
                Rating.GOOD,
                guild_id=w.guild.id,
                shown_in=ShownIn.RATE,
                seconds=5,
            )

        assert await told(w) == []

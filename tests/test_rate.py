"""/rate: one private message, one image after the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord

from bot.chat.custom_ids import GuidelinesId, RateId, ShownId
from storage.acts import Order
from tests.support.discord.world import World, buttons, image_ids, seen, text_of, world

PLAIN = {"gold_share": 0, "repeat_share": 0}


class Rater:
    """A member with their panel."""

    def __init__(self, w: World, member: Any) -> None:
        self._w = w
        self.member = member

    async def begin(self) -> str:
        """/rate; what the member reads."""
        result = await self.member.slash(self._w.channel, "rate")
        assert seen(result).ephemeral

        return text_of(seen(result).message)

    @property
    def panel(self) -> discord.Message:
        """The newest message that only this member sees."""
        return self._w.private(self.member)[-1]

    @property
    def image_id(self) -> str:
        """The image that is shown, by the name of its file."""
        [attached] = self.panel.attachments

        return attached.filename.removesuffix(".png")

    def button(self, action: str) -> str:
        return next(id for id in buttons(self.panel) if ShownId.parse(id).action == action)

    async def press(self, action: str) -> str:
        """Press a button of the panel; what the member reads then."""
        await self.member.click(self.panel, custom_id=self.button(action))

        return text_of(self.panel)


@asynccontextmanager
async def rating(data: Path, **changes: Any) -> AsyncIterator[tuple[World, Rater]]:
    """Four images of alice's, and bob, who rates."""
    async with world(data, **(PLAIN | changes)) as w:
        await w.any_pace()
        await w.imagine(w.alice, "a *fox*")
        yield w, Rater(w, w.bob)


async def test_one_private_message_shows_one_image_after_the_other(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        first_read = await bob.begin()
        panel, shown = bob.panel, {bob.image_id: "good"}
        for action in ("good", "bad", "good", "bad"):
            shown[bob.image_id] = action
            read = await bob.press(action)

        await w.committed()

        assert first_read == r"**a \*fox\***"
        assert read.startswith("👎 recorded.\nNo image of this server needs your vote now.")
        assert bob.panel.id == panel.id
        assert len(w.private(w.bob)) == 1
        assert bob.panel.attachments == []
        assert buttons(bob.panel) == []
        assert sorted(shown) == sorted(image_ids(w.last_message()))
        assert {image: w.ratings()[image, str(w.bob.id)] for image in shown} == shown
        assert {row["shown_in"] for row in w.rows()} == {"rate"}
        assert all(float(row["seconds"]) >= 0 for row in w.rows())


async def test_the_picture_is_the_one_that_was_posted_also_from_the_dataset(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        posted = {a.filename: await a.read() for a in w.last_message().attachments}
        await bob.begin()
        for _ in range(3):
            await bob.press("good")

        await w.committed()  # their bytes are in the dataset now, and no longer in the spool
        third = Rater(w, w.member("third"))
        await third.begin()

        for rater in (bob, third):
            [attached] = rater.panel.attachments
            assert await attached.read() == posted[attached.filename]
            assert attached.description == "a *fox*"


async def test_skip_leaves_no_vote_and_goes_on(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        await bob.begin()
        skipped = bob.image_id

        read = await bob.press("skip")
        await w.committed()

        assert read.startswith("-# Skipped.")
        assert bob.image_id != skipped
        assert w.rows() == []


async def test_a_report_reaches_the_moderators_and_the_next_image_is_shown(tmp_path: Path) -> None:
    async with world(tmp_path, **PLAIN) as w:
        channel = w.guild.create_text_channel("moderators")
        w.settings = w.settings.model_copy(update={"moderators_channel": channel.id})
        await w.restart()
        message = await w.imagine(w.alice, "a fox")
        bob = Rater(w, w.bob)
        await bob.begin()
        reported = bob.image_id

        read = await bob.press("report")

        [report] = list(channel.history())
        assert report.content.startswith(f"<@{w.bob.id}> reports {message.jump_url} of ")
        assert read.startswith("-# Thank you. The moderators of this server look at it.")
        assert bob.image_id != reported


async def test_a_second_press_says_what_is_recorded_and_the_panel_stays(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        await bob.begin()
        good, panel, skip = bob.button("good"), bob.panel, bob.button("skip")

        await w.press_all([(w.bob, panel, good), (w.bob, panel, skip)])
        await w.committed()

        shown, said = w.private(w.bob)
        assert len(shown.attachments) == 1
        assert said.content == (
            "You answered for this image already. Your 👍 is recorded for it. Go on in your newest "
            "message, or with `/rate`."
        )
        assert len(w.rows()) == 1


async def test_rate_again_shows_what_was_not_answered_also_after_a_restart(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        await bob.begin()
        first = bob.image_id
        await w.restart()

        await bob.begin()
        again = bob.image_id
        old = w.private(w.bob)[0]
        await w.bob.click(old, custom_id=buttons(old)[0])
        await w.committed()

        assert again == first
        assert list(w.ratings()) == [(first, str(w.bob.id))]


async def test_only_who_was_shown_an_image_answers(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        await bob.begin()

        result = await w.press(w.alice, bob.panel, bob.button("good"))
        await w.committed()

        assert "I did not show you this image" in text_of(seen(result).message)
        assert w.rows() == []


async def test_an_image_that_was_removed_meanwhile_takes_no_vote(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        await bob.begin()
        removed = bob.image_id
        mod = w.moderator()
        await mod.slash(w.channel, "oxherd remove", id=removed, reason="a test")

        read = await bob.press("good")
        await w.committed()

        assert read.startswith("-# Moderators have removed this image, so nothing was recorded.")
        assert bob.image_id != removed
        assert w.rows() == []


async def test_who_is_banned_is_shown_nothing_and_votes_on_nothing(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        await bob.begin()
        await w.moderator().slash(w.channel, "oxherd ban", member=w.bob, reason="rule 3")

        pressed = await bob.press("good")
        again = await bob.begin()
        await w.committed()

        assert "rule 3" in pressed
        assert "rule 3" in again
        assert w.private(w.bob)[0].attachments == []
        assert w.rows() == []


async def test_who_has_to_agree_is_asked_first_and_then_shown_an_image(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        await w.parts.store.moderation.set_consent_text(
            "Votes are published.", Order(guild_id=w.guild.id, moderator_id=None)
        )

        asked = await bob.begin()
        agree = buttons(bob.panel)[-1]
        await w.bob.click(bob.panel, custom_id=agree)
        await bob.press("good")
        await w.committed()

        assert "Votes are published." in asked
        assert str(RateId()).removeprefix("oxherd1:") in agree
        assert [row["consent"] for row in w.rows()] == ["version 1"]


async def test_limits_of_votes_hold_here_too(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        await w.moderator().slash(w.channel, "oxherd limits", votes_per_minute=2)
        await bob.begin()
        await bob.press("good")

        refused = await bob.press("good")
        await w.committed()

        assert "too fast" in refused
        assert len(w.rows()) == 1


async def test_an_image_whose_bytes_are_gone_is_passed_over(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        gone, *_ = image_ids(w.last_message())
        (w.settings.data / "spool" / f"{gone}.png").unlink()

        await bob.begin()
        shown = [bob.image_id]
        for _ in range(2):
            await bob.press("bad")
            shown.append(bob.image_id)

        read = await bob.press("bad")

        assert gone not in shown
        assert "No image of this server needs your vote now" in read


async def test_nothing_to_rate_is_said(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        read = await Rater(w, w.bob).begin()

        assert read.startswith("No image of this server needs your vote now.")


async def test_the_guidelines_are_one_press_away(tmp_path: Path) -> None:
    async with rating(tmp_path) as (w, bob):
        before = await bob.begin()
        order = Order(guild_id=w.guild.id, moderator_id=None)
        await w.parts.store.moderation.set_guidelines(
            "Six legs are bad.", order, good=None, bad=None, again=False
        )
        good = bob.button("good")
        await w.bob.click(bob.panel, custom_id=good)  # shows them first
        await w.bob.click(bob.panel, custom_id=buttons(bob.panel)[-1])

        assert "fox" in before
        assert str(GuidelinesId()) in buttons(bob.panel)

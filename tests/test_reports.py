"""Members report messages; moderators decide in their channel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord import InteractionResult

from bot.chat.custom_ids import ReviewId
from storage.acts import ActKind
from storage.vote import Rating
from tests.support.discord.world import World, buttons, seen, text_of, world


@dataclass(frozen=True, slots=True)
class Desk:
    """A server with a moderators' channel, a moderator, and images that alice asked for."""

    w: World
    channel: Any
    moderator: Any
    message: discord.Message

    async def report(self, member: Any) -> str:
        """Report the images; what the member reads."""
        result = await member.context_menu(self.w.channel, "Report", self.message)
        assert seen(result).ephemeral

        return text_of(seen(result).message)

    def reports(self) -> list[discord.Message]:
        """What stands in the moderators' channel, oldest first."""
        return list(self.channel.history())

    async def press(self, member: Any, action: str) -> InteractionResult:
        """Press a button under the newest report."""
        message = self.reports()[-1]
        custom_id = next(id for id in buttons(message) if ReviewId.parse(id).action == action)
        result: InteractionResult = await member.click(message, custom_id=custom_id)

        return result

    async def acts(self) -> list[ActKind]:
        """What the journal has, oldest first."""
        return [act.kind for act in await self.w.parts.store.moderation.untold(limit=100)]


@asynccontextmanager
async def desk(data: Path) -> AsyncIterator[Desk]:
    async with world(data) as w:
        channel = w.guild.create_text_channel("moderators")
        w.settings = w.settings.model_copy(update={"moderators_channel": channel.id})
        await w.restart()
        message = await w.imagine(w.alice, "a *fox*")
        yield Desk(w=w, channel=channel, moderator=w.moderator(), message=message)


async def test_a_report_is_one_message_with_buttons_whoever_else_reports(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        first, second = await d.report(d.w.bob), await d.report(d.w.member("third"))

        [message] = d.reports()
        assert "The moderators of this server look at it" in first
        assert "reported this already" in second
        assert message.content.startswith(f"<@{d.w.bob.id}> reports {d.message.jump_url} of ")
        assert r"a \*fox\*" in message.content
        assert [ReviewId.parse(id).action for id in buttons(message)] == [
            "keep",
            "remove",
            "warn",
            "ban",
        ]


async def test_what_is_kept_stays_and_is_not_reported_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.report(d.w.bob)
        await d.w.restart()

        await d.press(d.moderator, "keep")
        again = await d.report(d.w.bob)

        [message] = d.reports()
        reported, _, decided = message.content.partition("\nThe images stay.\n")
        assert d.message.jump_url in reported
        assert decided == f"Decided by <@{d.moderator.id}>."
        assert buttons(message) == []
        assert "have looked at this already" in again
        assert len(d.w.last_message().attachments) == 4
        assert await d.acts() == [ActKind.KEEP]


async def test_what_is_removed_leaves_the_message_and_the_dataset(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.w.vote(d.w.bob, d.message, 1, Rating.GOOD)
        await d.report(d.w.bob)

        await d.press(d.moderator, "remove")
        await d.w.committed()

        assert "4 images removed" in d.reports()[-1].content
        assert d.w.last_message().attachments == []
        assert d.w.rows() == []
        assert await d.acts() == [ActKind.REMOVE]


async def test_the_author_reads_why_their_images_were_removed(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.report(d.w.bob)

        form = await d.press(d.moderator, "warn")
        await d.moderator.submit_modal(form, {"why": "rule 3"})

        [told] = d.w.alice.user.dm_channel.history()
        assert told.content == "Moderators have removed images that you asked for: rule 3"
        assert f"<@{d.w.alice.id}> was warned." in d.reports()[-1].content
        assert await d.acts() == [ActKind.REMOVE, ActKind.WARN]


async def test_the_author_is_banned_and_their_requests_end(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.report(d.w.bob)

        form = await d.press(d.moderator, "ban")
        await d.moderator.submit_modal(form, {"why": "rule 3"})
        refused = await d.w.ask(d.w.alice, "a crow")

        assert "rule 3" in text_of(seen(refused).message)
        assert f"<@{d.w.alice.id}> may neither ask nor vote here" in d.reports()[-1].content
        assert await d.acts() == [ActKind.REMOVE, ActKind.BAN]


@pytest.mark.parametrize("action", ["warn", "ban"])
async def test_an_author_who_is_forgotten_is_neither_named_nor_banned(
    tmp_path: Path, action: str
) -> None:
    async with desk(tmp_path) as d:
        await d.w.parts.store.forget(d.w.alice.id, requests=False)
        await d.report(d.w.bob)
        form = await d.press(d.moderator, action)
        await d.moderator.submit_modal(form, {"why": "no"})

        [message] = d.reports()
        assert "is forgotten, so nobody was warned or banned" in text_of(message)
        assert "<@0>" not in text_of(message)
        assert await d.acts() == [ActKind.REMOVE]


async def test_who_may_not_manage_messages_decides_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.report(d.w.bob)

        refused = await d.press(d.w.bob, "remove")

        assert "Only members who may manage messages" in text_of(seen(refused).message)
        assert len(buttons(d.reports()[-1])) == 4
        assert await d.acts() == []


async def test_a_report_that_cannot_be_delivered_can_be_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(tmp_path) as d:
        d.w.env.inject_error("POST", f"/channels/{d.channel.id}/messages", status=403)

        failed = await d.report(d.w.bob)
        again = await d.report(d.w.bob)

        assert "could not be delivered" in failed
        assert "look at it" in again
        assert len(d.reports()) == 1


async def test_without_a_moderators_channel_a_report_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")

        result = await w.bob.context_menu(w.channel, "Report", message)

        assert "have not chosen a channel for reports" in text_of(seen(result).message)

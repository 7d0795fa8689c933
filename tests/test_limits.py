"""What moderators allow in their server, and what they see of its queue."""

from pathlib import Path

import discord
import pytest
from simcord import InteractionResult

from bot.chat.admission.pace import Pace
from storage.vote import Rating
from tests.support.discord.world import buttons, seen, set_button, text_of, world

GOOD, BAD = Rating.GOOD, Rating.BAD

# Not done before the test is, however slow the machine.
SLOW = {"placeholder_step_seconds": 0.5, "default_steps": 100}


def said(answer: InteractionResult | discord.Message) -> str:
    """What the person read, and that only they did."""
    message = seen(answer).message if isinstance(answer, InteractionResult) else answer
    assert message.flags.ephemeral

    return text_of(message)


def test_a_bucket_fills_evenly_and_never_over_its_brim() -> None:
    now_s = 0.0
    pace = Pace(now_s=lambda: now_s)

    taken = [pace.wait_s("member", per_minute=3) for _ in range(4)]
    now_s = 20.0
    after_a_third = [pace.wait_s("member", per_minute=3) for _ in range(2)]
    now_s = 3_600.0
    after_an_hour = [pace.wait_s("member", per_minute=3) for _ in range(4)]

    assert taken == [0, 0, 0, 20]
    assert after_a_third == [0, 20]
    assert after_an_hour == [0, 0, 0, 20]
    assert pace.wait_s("somebody else", per_minute=3) == 0


async def test_a_paused_server_takes_votes_and_no_requests_until_it_is_resumed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        await mod.slash(w.channel, "oxherd pause", reason="a raid")
        await w.restart()

        refused = [
            await w.ask(w.alice, "a crow"),
            await w.alice.click(message, custom_id=set_button(message, "again")),
        ]
        voted = await w.vote(w.bob, message, 1, GOOD)
        await mod.slash(w.channel, "oxherd resume")
        await w.imagine(w.alice, "a crow")

        assert all("paused new requests" in said(each) for each in refused)
        assert "recorded" in said(voted)
        assert len(w.last_message().attachments) == 4


async def test_asking_and_cancelling_is_stopped_after_a_few(tmp_path: Path) -> None:
    async with world(tmp_path, max_requests_per_minute=5, **SLOW) as w:
        accepted = 0
        for _ in range(60):
            asked = await w.ask(w.alice, "a fox")
            if seen(asked).ephemeral:
                assert "too fast" in said(asked)
                continue

            accepted += 1
            message = seen(asked).message
            await w.alice.click(message, custom_id=set_button(message, "cancel"))

        others = await w.ask(w.bob, "an owl")

        assert 5 <= accepted <= 15  # a new one every 12 s, on a machine that may be slow
        assert not seen(others).ephemeral


async def test_requests_of_a_day_are_counted_through_cancelling_and_restarting(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        await mod.slash(w.channel, "oxherd limits", requests_per_day=2)
        await w.imagine(w.alice, "a fox")
        await w.imagine(w.alice, "a crow")
        await w.restart()

        refused = await w.ask(w.alice, "an owl")
        await w.imagine(w.bob, "an owl")
        shown = await mod.slash(w.channel, "oxherd limits", requests_per_day=0)
        await w.imagine(w.alice, "an owl")

        assert "asked 2 times within a day" in said(refused)
        assert "requests of one member in a day: no limit" in said(shown)


async def test_votes_of_a_minute_are_limited_for_each_member(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.moderator().slash(w.channel, "oxherd limits", votes_per_minute=2)

        answers = [said(await w.vote(w.bob, message, slot, GOOD)) for slot in (1, 2, 3)]
        other = said(await w.vote(w.alice, message, 3, GOOD))
        await w.committed()

        assert "recorded" in answers[1]
        assert "too fast" in answers[2]
        assert "recorded" in other
        assert len(w.rows()) == 3


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [("account_days", "account must be 9000 days"), ("member_days", "in this server for 9000")],
)
async def test_newcomers_can_neither_ask_nor_vote(
    tmp_path: Path, limit: str, sentence: str
) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        await mod.slash(w.channel, "oxherd limits", **{limit: 9000})

        answers = [
            said(await w.ask(w.bob, "a crow")),
            said(await w.vote(w.bob, message, 1, GOOD)),
        ]
        await mod.slash(w.channel, "oxherd limits", **{limit: 0})
        voted = await w.vote(w.bob, message, 1, GOOD)

        assert all(sentence in each for each in answers)
        assert "recorded" in said(voted)


async def test_only_members_with_the_role_vote(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        role = w.guild.create_role("raters")
        rater = w.guild.add_member(w.env.create_user("rater"), roles=[role])
        await w.moderator().slash(w.channel, "oxherd limits", voting_role=role)

        refused = said(await w.vote(w.bob, message, 1, GOOD))
        voted = said(await w.vote(rater, message, 1, GOOD))

        assert f"<@&{role.id}>" in refused
        assert "recorded" in voted


async def test_moderators_see_and_cancel_any_request_of_their_server(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        mod = w.moderator()
        first = await w.ask(w.alice, "a fox")
        second = await w.ask(w.alice, "a *crow*")
        third = await w.ask(w.bob, "an owl")
        set_id = buttons(seen(third).message)[0].rpartition(":")[2]

        shown = said(await mod.slash(w.channel, "oxherd queue show"))
        one = said(await mod.slash(w.channel, "oxherd queue cancel", id=set_id))
        again = said(await mod.slash(w.channel, "oxherd queue cancel", id=set_id))
        all_of_one = said(await mod.slash(w.channel, "oxherd queue clear", member=w.alice))
        await w.posted()
        empty = said(await mod.slash(w.channel, "oxherd queue show"))
        acts = await w.parts.store.moderation.untold(limit=10)

        assert [line.split()[1] for line in shown.splitlines()] == [
            f"<@{member.id}>" for member in (w.alice, w.alice, w.bob)
        ]
        assert r"a \*crow\*" in shown
        assert f"`{set_id}`" in shown
        assert one == "1 request cancelled."
        assert "No request with this ID" in again
        assert all_of_one == "2 requests cancelled."
        assert all("Cancelled" in text_of(seen(each).message) for each in (first, second, third))
        assert empty == "Nothing waits or runs in this server."
        assert [(act.member_id, act.set_id) for act in acts] == [
            (None, set_id),
            (w.alice.id, None),
        ]


async def test_a_server_may_have_only_so_many_requests_in_line(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        await w.moderator().slash(w.channel, "oxherd limits", waiting=2)
        for member in (w.alice, w.bob):
            await w.ask(member, "a fox")

        refused = await w.ask(w.member("latecomer"), "an owl")

        assert "already has 2 requests in line" in said(refused)

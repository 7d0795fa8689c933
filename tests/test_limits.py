"""What moderators allow in their server, and what they see of its queue."""

from pathlib import Path
from typing import Any

import discord
import pytest
from simcord import InteractionResult

from bot.chat.admission.pace import Pace
from storage.acts import ActKind
from storage.vote import Rating
from tests.support.discord.world import (
    World,
    buttons,
    chosen_in,
    seen,
    set_button,
    text_of,
    vote_ids,
    world,
)

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


async def set_access(w: World, mod: Any, **chosen: Any) -> str:
    """Send the form of `/oxherd access`; what the moderator reads then."""
    form = await mod.slash(w.channel, "oxherd access")

    return said(
        await mod.submit_modal(form, {name.replace("_", "-"): chosen[name] for name in chosen})
    )


async def test_only_members_with_a_chosen_role_ask_and_vote(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        painters, raters = w.guild.create_role("painters"), w.guild.create_role("raters")
        painter = w.guild.add_member(w.env.create_user("painter"), roles=[painters])
        rater = w.guild.add_member(w.env.create_user("rater"), roles=[raters])
        shown = await set_access(w, mod, asking_roles=[painters], voting_roles=[painters, raters])
        await w.restart()

        refused = [said(await w.ask(member, "a crow")) for member in (w.alice, rater)]
        no_vote = said(await w.vote(w.bob, message, 1, GOOD))
        voted = [said(await w.vote(member, message, 1, GOOD)) for member in (painter, rater)]
        await w.imagine(painter, "a crow")
        [act] = await w.parts.store.moderation.untold(limit=10)

        assert f"May ask: <@&{painters.id}>, in all channels" in shown
        assert f"May vote: <@&{painters.id}> or <@&{raters.id}>" in shown
        assert all(f"only members with <@&{painters.id}> may ask" in each for each in refused)
        assert f"<@&{painters.id}> or <@&{raters.id}> may vote" in no_vote
        assert all("recorded" in each for each in voted)
        assert len(w.last_message().attachments) == 4
        assert (act.kind, act.moderator_id) == (ActKind.ACCESS, mod.id)


async def test_members_ask_and_vote_in_the_chosen_channels_and_their_threads(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        studio = w.guild.create_text_channel("studio")
        message = await w.imagine(w.alice, "a fox")
        await set_access(w, mod, asking_channels=[studio], voting_channels=[studio])

        refused = said(await w.ask(w.alice, "a crow"))
        no_vote = said(await w.vote(w.bob, message, 1, GOOD))
        form = chosen_in(await mod.slash(w.channel, "oxherd access"))
        room = w.client.get_channel(studio.id)
        assert isinstance(room, discord.TextChannel)
        await room.create_thread(name="ideas", type=discord.ChannelType.public_thread)
        [thread] = studio.threads
        for place in (studio, thread):
            await w.alice.slash(place, "imagine", prompt="a crow")
            await w.posted()
            there = place.last_message
            assert there is not None
            await w.bob.click(there, custom_id=vote_ids(there)[1, GOOD])

        await w.committed()
        prompts = [row["prompt"] for row in w.rows()]
        await set_access(w, mod)
        voted = said(await w.vote(w.bob, message, 1, GOOD))

        assert f"images are asked for in <#{studio.id}> only" in refused
        assert f"votes are taken in <#{studio.id}> only" in no_vote
        assert form["asking-channels"] == form["voting-channels"] == [studio.id]
        assert prompts == ["a crow", "a crow"]
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

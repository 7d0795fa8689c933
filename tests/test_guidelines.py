"""The guidelines of a server: shown once before a first vote, and one press away afterwards."""

from pathlib import Path
from typing import Any

import discord

from bot.chat.custom_ids import GuidelinesId
from storage.acts import ActKind
from storage.vote import Rating
from tests.support.discord.world import (
    World,
    buttons,
    chosen_in,
    image_ids,
    seen,
    text_of,
    vote_ids,
    world,
)

GOOD, BAD = Rating.GOOD, Rating.BAD
TEXT = "Good: *whole* animals.\nBad: letters."


async def set_guidelines(w: World, mod: Any, **fields: Any) -> discord.Message:
    """Send the form of `/oxherd guidelines`; what the moderator sees then."""
    form = await mod.slash(w.channel, "oxherd guidelines")
    given = {"text": TEXT, "again": ["once"], **fields}

    return seen(await mod.submit_modal(form, given)).message


async def press_only_button(member: Any, panel: discord.Message) -> None:
    [custom_id] = buttons(panel)
    await member.click(panel, custom_id=custom_id)


async def test_they_are_shown_once_before_a_first_vote_which_then_counts(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        good, bad = image_ids(message)[:2]
        shown = await set_guidelines(w, mod, good=good, bad=f"{bad}.png", why="so far nobody knew")
        await w.restart()

        panel = await w.vote(w.bob, message, 3, GOOD)
        assert TEXT in text_of(panel)
        assert TEXT in text_of(shown)
        images = [await file.read() for file in panel.attachments]
        assert images == [await file.read() for file in message.attachments[:2]]
        await w.committed()
        assert w.rows() == []

        await press_only_button(w.bob, panel)
        first = w.private(w.bob)[-1]
        assert "recorded for image 3" in text_of(first)
        await w.vote(w.bob, message, 4, GOOD)
        await w.committed()
        assert len(w.rows()) == 2
        assert [TEXT in text_of(each) for each in w.private(w.bob)] == [False, False]

        await w.bob.click(w.private(w.bob)[-1], custom_id=str(GuidelinesId()))
        assert TEXT in text_of(w.private(w.bob)[-1])
        assert len(w.private(w.bob)[-1].attachments) == 2
        [act] = await w.parts.store.moderation.untold(limit=10)
        assert (act.kind, act.reason) == (ActKind.GUIDELINES, "so far nobody knew")


async def test_a_changed_text_is_shown_again_only_if_moderators_say_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        await set_guidelines(w, mod)
        await press_only_button(w.bob, await w.vote(w.bob, message, 1, GOOD))

        await set_guidelines(w, mod, text="Other words.")
        quiet = text_of(await w.vote(w.bob, message, 2, GOOD))
        newcomer = text_of(await w.vote(w.alice, message, 2, GOOD))
        await set_guidelines(w, mod, text="Read this!", again=["again"])
        again = text_of(await w.vote(w.bob, message, 3, GOOD))
        await set_guidelines(w, mod, text="")
        await w.vote(w.bob, message, 3, GOOD)
        [none] = [each for each in w.private(w.bob) if "for image 3" in text_of(each)]

        assert "recorded for image 2" in quiet
        assert "Other words." in newcomer
        assert "Read this!" in again
        assert str(GuidelinesId()) not in buttons(none)


async def test_where_a_text_to_agree_to_is_due_too_there_is_one_message(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        await set_guidelines(w, mod)
        form = await mod.slash(w.channel, "oxherd consent set")
        await mod.submit_modal(form, {"text": "Votes are published."})

        panel = await w.vote(w.bob, message, 1, GOOD)
        assert [part in text_of(panel) for part in (TEXT, "Votes are published.")] == [True, True]
        assert len(w.private(w.bob)) == 1
        await w.restart()
        await press_only_button(w.bob, panel)
        await w.vote(w.bob, message, 2, GOOD)
        await w.committed()
        rows = w.rows()

        asked = text_of(seen(await w.ask(w.alice, "a crow")).message)
        data = await w.parts.store.data_of(w.bob.id)

        assert {row["consent"] for row in rows} == {"version 1"}
        assert len(rows) == 2
        assert TEXT not in asked
        assert data["guidelines_read"] == [{"guild_id": w.guild.id, "edition": 1}]


async def test_only_images_that_members_of_the_server_can_see_are_examples(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        good, bad, removed, _ = image_ids(message)
        await mod.slash(w.channel, "oxherd remove", id=removed, reason="a test")

        refused = [await set_guidelines(w, mod, good=image_id) for image_id in (removed, "x" * 22)]
        form = await mod.slash(w.channel, "oxherd guidelines")
        await set_guidelines(w, mod, good=good, bad=bad)
        await mod.slash(w.channel, "oxherd remove", id=bad, reason="a test")
        panel = await w.vote(w.bob, message, 1, GOOD)

        assert all("nothing changed" in each.content for each in refused)
        assert [await each.attachments[0].read() for each in refused] == [TEXT.encode()] * 2
        assert chosen_in(form)["text"] == ""
        assert [file.filename for file in panel.attachments] == ["good.png"]


async def test_moderators_set_show_and_clear_the_text_to_agree_to(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        form = await mod.slash(w.channel, "oxherd consent set")
        said = [await mod.submit_modal(form, {"text": "Votes are published.", "why": "law"})]
        form = await mod.slash(w.channel, "oxherd consent set")
        unchanged = {"text": chosen_in(form)["text"]}
        said += [
            await mod.submit_modal(form, unchanged),
            await mod.slash(w.channel, "oxherd consent show"),
        ]
        asked = await w.vote(w.bob, message, 1, GOOD)
        cleared = await mod.slash(w.channel, "oxherd consent clear", reason="no need")
        await w.bob.click(message, custom_id=vote_ids(message)[1, GOOD])
        acts = await w.parts.store.moderation.untold(limit=10)

        assert all("version 1" in seen(each).content for each in said)
        assert "Votes are published." in text_of(asked)
        assert "not asked to agree" in seen(cleared).content
        assert "recorded for image 1" in text_of(w.private(w.bob)[-1])
        assert [(act.kind, act.reason) for act in acts] == [
            (ActKind.CONSENT, "law"),
            (ActKind.CONSENT, "no need"),
        ]

"""Vary as members meet it: four new images that begin with one that they choose."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord import InteractionResult
from simcord.results import ResponseMessage

from bot.chat import texts
from bot.chat.custom_ids import SetId
from bot.chat.sets import sentences, vary
from bot.prompts.refusals import ParentGone
from generation.request import ImageRequest
from storage.folder import DataFolder
from storage.vote import Rating
from tests.support.discord.world import World, image_ids, seen, set_button, text_of, world
from tests.support.generation.tiny_model import SIDE_PX, tiny_stable_diffusion_3

GONE = "The image to vary is not here"


async def menu_for(member: Any, message: discord.Message) -> ResponseMessage:
    """Press Vary; the private message with the menu."""
    return seen(await member.click(message, custom_id=set_button(message, "vary")))


async def choose(member: Any, message: discord.Message, slot: int) -> InteractionResult:
    """Press Vary and choose an image; the answer that comes at once."""
    result: InteractionResult = await member.select(
        await menu_for(member, message), [image_ids(message)[slot - 1]]
    )

    return result


async def varied(w: World, member: Any, message: discord.Message, slot: int) -> discord.Message:
    """The message with the variations of an image."""
    await choose(member, message, slot)
    await w.posted()

    return w.last_message()


def set_of(message: discord.Message) -> str:
    return SetId.parse(set_button(message, "details")).set_id


async def test_a_member_varies_an_image_of_somebody_else_and_the_rows_say_so(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, vary_strength=0.5) as w:
        original = await w.imagine(w.alice, "a fox in the snow", steps=8)
        message = await varied(w, w.bob, original, 3)
        await w.vote(w.alice, message, 1, Rating.GOOD)
        await w.committed()

        assert text_of(message).startswith("**a fox in the snow**")
        assert f"8 steps · guidance 7.5 · strength 0.5 · placeholder · for {w.bob.mention}" in (
            text_of(message)
        )
        assert len(message.attachments) == 4
        rows = w.generations()
        parent = image_ids(original)[2]
        assert [row["parent"] for row in rows] == ["no"] * 4 + [parent] * 4
        assert [row["strength"] for row in rows] == [""] * 4 + ["0.5"] * 4
        assert len({row["seed"] for row in rows}) == 8
        assert len({row["sha256"] for row in rows}) == 8


async def test_the_menu_is_private_and_has_the_images_by_their_numbers(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        menu = await menu_for(w.bob, original)

        assert menu.ephemeral
        assert text_of(menu.message) == sentences.which_to_vary()
        [row] = menu.message.components
        assert isinstance(row, discord.ActionRow)
        [select] = row.children
        assert isinstance(select, discord.SelectMenu)
        assert [(option.label, option.value) for option in select.options] == [
            (f"Image {slot}", image_id) for slot, image_id in enumerate(image_ids(original), 1)
        ]


async def test_again_on_variations_varies_the_same_image_and_details_name_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        first = await varied(w, w.bob, original, 1)
        await w.bob.click(first, custom_id=set_button(first, "again"))
        await w.posted()
        second = w.last_message()
        details = await w.bob.click(second, custom_id=set_button(second, "details"))
        await w.committed()

        assert second.id != first.id
        assert f"a variation of the image `{image_ids(original)[0]}`" in text_of(
            seen(details).message
        )
        assert [row["parent"] for row in w.generations()[4:]] == [image_ids(original)[0]] * 8


async def test_a_variation_can_be_varied(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        first = await varied(w, w.bob, await w.imagine(w.alice, "a fox"), 1)
        await varied(w, w.alice, first, 4)
        await w.committed()

        assert {row["parent"] for row in w.generations()[8:]} == {image_ids(first)[3]}


async def test_an_image_with_votes_is_varied_from_the_dataset(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, original, 2, Rating.GOOD)
        await w.committed()
        assert not (DataFolder(tmp_path).spool / f"{image_ids(original)[1]}.png").exists()

        message = await varied(w, w.bob, original, 2)

        assert len(message.attachments) == 4


async def test_an_image_that_moderators_removed_is_not_varied(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        message = await varied(w, w.bob, original, 2)
        menu = await menu_for(w.bob, original)
        mod = w.moderator()
        await mod.slash(w.channel, "oxherd remove", id=image_ids(original)[1], reason="a test")

        chosen = await w.bob.select(menu, [image_ids(original)[1]])
        again = await w.bob.click(message, custom_id=set_button(message, "again"))
        anew = await menu_for(w.bob, original)

        for refused in (chosen, again):
            assert seen(refused).ephemeral
            assert GONE in text_of(seen(refused).message)

        [row] = anew.message.components
        [select] = row.children  # type: ignore[union-attr]
        assert [option.label for option in select.options] == ["Image 1", "Image 3", "Image 4"]  # type: ignore[union-attr]


async def test_an_image_whose_requester_is_forgotten_is_not_varied(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        message = await varied(w, w.bob, original, 1)
        menu = await menu_for(w.bob, original)
        await w.parts.store.forget(w.alice.id, requests=True)

        chosen = await w.bob.select(menu, [image_ids(original)[0]])
        again = await w.bob.click(message, custom_id=set_button(message, "again"))

        assert text_of(seen(chosen).message) == texts.unknown_set()
        assert GONE in text_of(seen(again).message)


async def test_an_image_whose_file_is_gone_is_not_varied(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        for file in DataFolder(tmp_path).spool.glob("*.png"):
            file.unlink()

        chosen = await choose(w.bob, original, 1)

        assert seen(chosen).ephemeral
        assert GONE in text_of(seen(chosen).message)


async def test_a_forged_choice_of_an_image_elsewhere_varies_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        secret = await w.imagine(w.alice, "an owl")
        with closing(sqlite3.connect(DataFolder(tmp_path).journal)) as journal, journal:
            journal.execute("UPDATE sets SET guild_id = 1 WHERE set_id = ?", (set_of(secret),))

        stored = await w.parts.store.find_set(set_of(original))
        assert stored is not None
        request = w.client.context.door.admit_variation(
            ImageRequest.from_json(stored.request), of=image_ids(secret)[0]
        )
        pressed = await menu_for(w.bob, secret)

        assert text_of(pressed.message) == texts.unknown_set()
        with pytest.raises(ParentGone):
            await w.parts.requests._parent(request, w.guild.id)


async def test_variations_that_wait_at_a_stop_are_made_after_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox", steps=1)
        w.settings = w.settings.model_copy(update={"placeholder_step_seconds": 10})
        await w.restart()
        await w.ask(w.bob, "something slow")
        waiting = await choose(w.alice, original, 1)
        assert "next in line" in text_of(seen(waiting).message)

        w.settings = w.settings.model_copy(update={"placeholder_step_seconds": 0})
        await w.restart()
        await w.posted()
        await w.committed()

        assert len(seen(waiting).message.attachments) == 4
        assert [row["parent"] for row in w.generations()].count(image_ids(original)[0]) == 4


async def test_if_the_image_is_gone_at_the_next_start_the_message_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox", steps=1)
        w.settings = w.settings.model_copy(update={"placeholder_step_seconds": 10})
        await w.restart()
        await w.ask(w.bob, "something slow")
        waiting = await choose(w.alice, original, 1)
        await w.end()
        (DataFolder(tmp_path).spool / f"{image_ids(original)[0]}.png").unlink()

        w.settings = w.settings.model_copy(update={"placeholder_step_seconds": 0})
        await w.begin()
        await w.posted()

        assert GONE in text_of(seen(waiting).message)


@pytest.mark.stalls("a model is loaded on a thread of this process")
async def test_a_model_that_cannot_vary_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_stable_diffusion_3(tmp_path).save_pretrained(tmp_path / "sd3")
    changes = {
        "backend": "diffusers",
        "model": str(tmp_path / "sd3"),
        "sizes": f"{SIDE_PX}x{SIDE_PX}",
    }
    async with world(tmp_path / "data", **changes) as w:
        original = await w.imagine(w.alice, "a fox")
        pressed = await menu_for(w.bob, original)

        # As for an image that another model made under the same name.
        monkeypatch.setattr(vary, "can_vary", lambda _made_by: True)
        message = await varied(w, w.bob, original, 1)

        assert pressed.ephemeral
        assert text_of(pressed.message) == texts.cannot_vary()
        assert texts.cannot_vary() in text_of(message)

"""Edit as members meet it: Discord's form with a request filled in, for another one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simcord import InteractionResult

from bot.chat import texts
from bot.chat.sets.edit import edit_form
from bot.prompts.door import Limits
from bot.prompts.numbers import Numbers
from bot.prompts.refusals import NotUnderstood
from generation.request import ImageRequest, Size, Variation
from tests.support.discord.world import image_ids, seen, set_button, text_of, world

SIZES = (Size(64, 64), Size(128, 64))
LIMITS = Limits(
    max_prompt_chars=500,
    max_steps=100,
    max_guidance=20.0,
    sizes=SIZES,
    models=("red", "green"),
    takes={},
    vary_strength=0.6,
)
REQUEST = ImageRequest(
    prompt="a fox", seeds=(1, 2, 3, 4), steps=50, guidance_scale=7.5, size=SIZES[1], model="green"
)


def fields_of(request: ImageRequest, limits: Limits = LIMITS) -> dict[str, Any]:
    """What the form has in it, by the fields' ids: the text, or what is chosen in a menu."""

    async def build() -> dict[str, Any]:
        labels = edit_form("A" * 22, request, limits).to_dict()["components"]
        fields = [label["component"] for label in labels]

        return {
            field["custom_id"]: field.get("value")
            if "options" not in field
            else [option["value"] for option in field["options"] if option.get("default")]
            for field in fields
        }

    return asyncio.run(build())


def test_the_form_has_everything_that_was_asked_for() -> None:
    assert fields_of(REQUEST) == {
        "prompt": "a fox",
        "negative_prompt": None,
        "numbers": "steps 50, guidance 7.5",
        "size": ["128x64"],
        "model": ["green"],
    }


def test_what_leaves_no_choice_is_not_asked_for() -> None:
    limits = Limits(
        max_prompt_chars=500,
        max_steps=100,
        max_guidance=20.0,
        sizes=(SIZES[1],),
        models=("green",),
        takes={},
        vary_strength=0.6,
    )

    assert list(fields_of(REQUEST, limits)) == ["prompt", "negative_prompt", "numbers"]


def test_what_is_no_longer_offered_has_to_be_chosen_anew() -> None:
    request = ImageRequest.from_json(
        {**REQUEST.to_json(), "width_px": 32, "height_px": 32, "model": "blue"}
    )

    assert fields_of(request)["size"] == []
    assert fields_of(request)["model"] == []


def test_the_form_of_a_variation_has_its_strength_and_no_size() -> None:
    variation = Variation(parent_id="an image", strength=0.6)
    request = ImageRequest.from_json({**REQUEST.to_json(), "parent_id": "a", "strength": 0.6})

    fields = fields_of(request)

    assert request.variation is not None
    assert variation.strength == request.variation.strength
    assert fields["numbers"] == "steps 50, guidance 7.5, strength 0.6"
    assert "size" not in fields


async def test_a_member_changes_the_prompt_and_gets_four_new_images(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox", negative_prompt="rain", steps=3)
        form = await w.bob.click(message, custom_id=set_button(message, "edit"))
        changes = {"prompt": "an *owl*\nat night", "numbers": "guidance 3,5; steps: 4 seed 9"}
        answer = await w.bob.submit_modal(
            form, {**changes, "negative_prompt": "snow", "size": ["128x64"]}
        )
        assert not seen(answer).ephemeral
        await w.posted()
        await w.committed()

        assert texts.quoted("an *owl* at night") in text_of(w.last_message())
        assert w.bob.mention in text_of(w.last_message())
        row = w.generations()[4]
        assert row["prompt"] == "an *owl* at night"
        assert row["negative_prompt"] == "snow"
        assert [row[name] for name in ("steps", "guidance_scale", "seed", "width_px")] == [
            "4",
            "3.5",
            "9",
            "128",
        ]
        assert row["parent"] == "no"


async def send(w: Any, member: Any, message: Any, **changes: Any) -> InteractionResult:
    """Press Edit and send the form with these fields."""
    form = await member.click(message, custom_id=set_button(message, "edit"))
    usual = {"prompt": "an owl", "negative_prompt": "", "numbers": "", "size": ["64x64"]}
    answer: InteractionResult = await member.submit_modal(form, {**usual, **changes})

    return answer


async def test_the_form_still_works_after_a_restart_and_the_bot_keeps_none(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        form = await w.bob.click(message, custom_id=set_button(message, "edit"))
        assert w.client._connection._view_store._modals == {}

        await w.restart()
        await w.bob.submit_modal(
            form, {"prompt": "an owl", "negative_prompt": "", "numbers": "", "size": ["64x64"]}
        )
        await w.posted()

        assert "an owl" in text_of(w.last_message())
        assert "2 steps · guidance 7.5" in text_of(w.last_message())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": "@"}, "The prompt is empty"),
        ({"numbers": "many steps"}, "I could not read the numbers “many steps”"),
        ({"numbers": "steps 3, strength 0.5"}, "`steps 2, guidance 7.5`"),
        ({"numbers": "steps 1000"}, "The number of steps must be from 1 to 100"),
        ({"numbers": "seed 4294967296"}, "The seed must be from 0 to 4294967295"),
    ],
)
async def test_a_form_that_is_refused_gives_back_what_was_typed(
    tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    typed = {"prompt": "an owl", "negative_prompt": "snow", "numbers": "steps 2", **changes}
    typed["prompt"] = typed["prompt"].replace("@", " ")
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        refused = seen(await send(w, w.bob, message, **typed))

        said = text_of(refused.message)
        assert refused.ephemeral
        assert sentence in said
        assert "without: snow\n" in said
        assert said.endswith(texts.quoted(f"{typed['numbers']}, size 64x64"))
        if typed["prompt"].strip():
            assert "\nan owl\n" in said


async def test_a_request_that_is_forgotten_meanwhile_gives_back_what_was_typed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        form = await w.bob.click(message, custom_id=set_button(message, "edit"))
        await w.parts.store.forget(w.alice.id, requests=True)
        late = await w.bob.submit_modal(
            form, {"prompt": "an owl", "negative_prompt": "", "numbers": "", "size": ["64x64"]}
        )
        anew = await w.bob.click(message, custom_id=set_button(message, "edit"))

        assert text_of(seen(late).message).startswith(texts.unknown_set())
        assert "\nan owl\n" in text_of(seen(late).message)
        assert text_of(seen(anew).message) == texts.unknown_set()


async def test_an_edited_variation_varies_the_same_image(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox", size="128x64")
        menu = await w.bob.click(original, custom_id=set_button(original, "vary"))
        await w.bob.select(seen(menu), [image_ids(original)[1]])
        await w.posted()
        variations = w.last_message()
        form = await w.bob.click(variations, custom_id=set_button(variations, "edit"))
        await w.bob.submit_modal(
            form,
            {"prompt": "a fox with a hat", "negative_prompt": "", "numbers": "strength 0.9"},
        )
        await w.posted()
        await w.committed()

        row = w.generations()[8]
        assert row["prompt"] == "a fox with a hat"
        assert (row["parent"], row["strength"]) == (image_ids(original)[1], "0.9")
        assert row["width_px"] == "128"


async def test_a_request_that_ended_without_images_can_be_edited(tmp_path: Path) -> None:
    async with world(tmp_path, placeholder_step_seconds=0.5, default_steps=100) as w:
        asked = await w.ask(w.alice, "a fox")
        await w.alice.click(seen(asked), custom_id=set_button(seen(asked).message, "cancel"))
        await w.posted()

        await w.alice.click(w.last_message(), custom_id=set_button(w.last_message(), "edit"))


NUMBERS = Numbers(steps=50, guidance=7.5, strength=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NUMBERS),
        ("  ", NUMBERS),
        ("steps 20", Numbers(steps=20, guidance=7.5, strength=None)),
        ("GUIDANCE=3.5", Numbers(steps=50, guidance=3.5, strength=None)),
        ("guidance 7,5,steps 3", Numbers(steps=3, guidance=7.5, strength=None)),
        ("seed: 7 · steps 3;", Numbers(steps=3, guidance=7.5, strength=None, seed=7)),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, expected: Numbers) -> None:
    assert NUMBERS.changed(text) == expected


@pytest.mark.parametrize(
    "text", ["20", "steps", "steps 2.5", "seed -1", "steps 3 3", "a lot", "strength 0.5", "steps٣"]
)
def test_what_is_no_number_of_a_request_is_not_guessed(text: str) -> None:
    with pytest.raises(NotUnderstood):
        NUMBERS.changed(text)


@given(
    st.builds(
        Numbers,
        steps=st.integers(1, 1_000),
        guidance=st.integers(0, 1_000).map(lambda tenths: tenths / 10),
        strength=st.none() | st.integers(1, 100).map(lambda percent: percent / 100),
        seed=st.none(),
    )
)
def test_the_line_that_is_filled_in_changes_nothing(numbers: Numbers) -> None:
    assert numbers.changed(str(numbers)) == numbers

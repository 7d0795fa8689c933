"""The door admits what is within the limits, and refuses the rest by the kind of problem."""

import math
from dataclasses import replace
from typing import Any

import pytest

from bot.chat import texts
from bot.prompts.blocked_words import BlockedWords
from bot.prompts.door import Door, Limits
from bot.prompts.refusals import (
    BlockedPrompt,
    EmptyPrompt,
    NoEffect,
    NotOffered,
    OutOfRange,
    PromptTooLong,
    Refused,
)
from generation.families import PLACEHOLDER
from generation.request import MAX_SEED, ImageRequest, Size, Variation
from tests.support.generation.requests import a_request

RED = PLACEHOLDER
PLAIN = replace(RED, steps=4, guidance=None, negative_prompt=False, multiple=512)
"""A model that takes neither guidance nor a negative prompt, and makes squares alone."""

LIMITS = Limits(
    max_prompt_chars=500,
    max_steps=100,
    max_guidance=20.0,
    sizes=(Size(512, 512), Size(768, 512)),
    models=("red", "green", "plain"),
    takes={"red": RED, "plain": PLAIN},
    vary_strength=0.6,
)
DOOR = Door(LIMITS, BlockedWords(["red rum"]))


def admitted(**options: Any) -> ImageRequest:
    usual: dict[str, Any] = {
        "prompt": "a fox",
        "steps": 50,
        "guidance": 7.5,
        "size": "512x512",
        "model": "red",
    }

    return DOOR.admit(**(usual | options))


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        pytest.param({"prompt": ""}, EmptyPrompt, "The prompt is empty", id="empty"),
        pytest.param({"prompt": " \n "}, EmptyPrompt, "The prompt is empty", id="blank"),
        pytest.param(
            {"prompt": "\u200b\u3164 \u2800\ufe0f\U000e0041\xad\u034f"},
            EmptyPrompt,
            "The prompt is empty",
            id="nothing to be seen",
        ),
        pytest.param(
            {"prompt": "\u0301" * 500}, EmptyPrompt, "The prompt is empty", id="accents alone"
        ),
        pytest.param(
            {"prompt": "<|endoftext|>"}, EmptyPrompt, "The prompt is empty", id="a command"
        ),
        pytest.param(
            {"prompt": "x" * 501},
            PromptTooLong,
            "The prompt is 501 characters long; 500 is the most",
            id="long prompt",
        ),
        pytest.param(
            {"prompt": "a fox" + " " * 500},
            PromptTooLong,
            "The prompt is 505 characters long",
            id="measured as it was typed",
        ),
        pytest.param(
            {"prompt": "\ufb2c" * 500},
            PromptTooLong,
            "The prompt is 1500 characters long",
            id="longer once it is clean",
        ),
        pytest.param(
            {"negative_prompt": "x" * 501},
            PromptTooLong,
            "The negative prompt is 501 characters long",
            id="long negative prompt",
        ),
        pytest.param(
            {"steps": 0},
            OutOfRange,
            "The number of steps must be from 1 to 100 (you gave 0)",
            id="no steps",
        ),
        pytest.param({"steps": 101}, OutOfRange, "you gave 101", id="many steps"),
        pytest.param(
            {"seed": -1},
            OutOfRange,
            "The seed must be from 0 to 4294967295 (you gave -1)",
            id="negative seed",
        ),
        pytest.param({"seed": 2**32}, OutOfRange, "you gave 4294967296", id="large seed"),
        pytest.param({"guidance": math.nan}, OutOfRange, "you gave nan", id="nan"),
        pytest.param(
            {"guidance": 20.5},
            OutOfRange,
            "The guidance must be from 0 to 20 (you gave 20.5)",
            id="much guidance",
        ),
        pytest.param(
            {"size": "513x513"},
            NotOffered,
            "The size “513x513” is not offered here; choose one of 512x512, 768x512.",
            id="size",
        ),
        pytest.param(
            {"size": "large"},
            NotOffered,
            "The size “large” is not offered here; choose one of 512x512, 768x512.",
            id="a size that is none",
        ),
        pytest.param(
            {"size": "9" * 2_000_000},
            NotOffered,
            "99” is not offered here",
            id="a very long size",
        ),
        pytest.param(
            {"model": "blue"},
            NotOffered,
            "The model “blue” is not offered here; choose one of red, green, plain.",
            id="model",
        ),
        pytest.param(
            {"prompt": "a Red Rum"}, BlockedPrompt, "does not allow “red rum”", id="blocked"
        ),
    ],
)
def test_what_is_outside_the_limits_is_refused_with_a_sentence(
    options: dict[str, Any], kind: type[Refused], sentence: str
) -> None:
    with pytest.raises(kind) as refused:
        admitted(**options)

    assert sentence in texts.refused(refused.value)


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.01, math.nan])
def test_a_strength_outside_its_range_is_refused(strength: float) -> None:
    variation = Variation(parent_id="a fox", strength=strength)
    request = replace(admitted(), variation=variation)

    with pytest.raises(OutOfRange) as refused:
        DOOR.check(request)

    assert "The strength must be from 0 to 1 (you gave" in texts.refused(refused.value)


def test_a_variation_asks_for_the_same_with_new_seeds_and_the_strength_that_is_set() -> None:
    request = admitted(negative_prompt="rain", seed=1)

    variation = DOOR.admit_variation(request, of="an image")

    assert variation.variation == Variation(parent_id="an image", strength=0.6)
    assert replace(variation, variation=None, seeds=request.seeds) == request
    assert variation.seeds != request.seeds
    assert DOOR.admit_again(variation).variation == variation.variation


def test_what_lies_on_the_limits_is_admitted_as_it_is() -> None:
    options: dict[str, Any] = {
        "prompt": "x" * 500,
        "negative_prompt": "y" * 500,
        "steps": 100,
        "model": "green",
    }

    assert admitted(**options, guidance=20.0, size="768x512", seed=5) == ImageRequest(
        **options, guidance_scale=20.0, size=Size(768, 512), seeds=(5, 6, 7, 8)
    )


@pytest.mark.parametrize("seen", ["🦊", "1️⃣", "漢", "़क", "?", "\U0001fae8", "\u200bfox"])
def test_one_visible_character_is_a_prompt(seen: str) -> None:
    assert admitted(prompt=seen).prompt


@pytest.mark.timeout(10)
@pytest.mark.parametrize("option", ["prompt", "negative_prompt", "model", "size"])
def test_two_megabytes_are_refused_before_anything_reads_them(option: str) -> None:
    """Only a forged command has them; cleaning or searching them took most of a minute."""
    with pytest.raises(Refused) as refused:
        admitted(**{option: "\ufb2c r.e.d" * 250_000})

    assert len(str(refused.value)) < 1_000
    assert len(texts.refused(refused.value)) < 1_000


def test_seeds_follow_the_one_that_was_named_and_start_again_at_zero() -> None:
    assert admitted(seed=MAX_SEED - 1).seeds == (MAX_SEED - 1, MAX_SEED, 0, 1)


def test_without_a_seed_each_request_has_its_own() -> None:
    assert admitted().seeds != admitted().seeds


def test_a_request_is_clean_from_the_start() -> None:
    request = admitted(prompt="a\n<|endoftext|> fox ", negative_prompt="\tan  owl")

    assert (request.prompt, request.negative_prompt) == ("a fox", "an owl")


def test_again_is_the_same_request_with_new_seeds() -> None:
    first = admitted(seed=5)
    again = DOOR.admit_again(first)

    assert again.seeds != first.seeds
    assert len(again.seeds) == 4
    assert admitted(seed=again.seeds[0]) == again


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        pytest.param(a_request("red rum", model="red"), BlockedPrompt, id="the list is newer"),
        pytest.param(a_request("x" * 501, model="red"), PromptTooLong, id="the limit is newer"),
        pytest.param(a_request(model="blue"), NotOffered, id="the model is gone"),
    ],
)
def test_again_is_checked_as_a_new_request_is(request_: ImageRequest, kind: type[Refused]) -> None:
    with pytest.raises(kind):
        DOOR.admit_again(request_)


@pytest.mark.parametrize(
    "typed",
    [
        "red<|endoftext|>rum",
        "red\nrum",
        "red\u2028rum",
        "r\u200bed r\u200dum",
        "red\u200b \u200brum",
        "a r\u200be\u200bd\nr\u200bu\u200bm, oil on canvas",
        "r e d  r u m",
        "r\ne\nd\nr\nu\nm",
        "r<|endoftext|>e<|endoftext|>d<|endoftext|>r<|endoftext|>u<|endoftext|>m",
        "R<|StartOfText|>E<|endoftext|>D R U M",
        "r.e.d r.u.m",
        "r\x00e\x00d\x00r\x00u\x00m",
    ],
)
def test_a_blocked_word_is_found_however_its_letters_are_apart(typed: str) -> None:
    with pytest.raises(BlockedPrompt) as refused:
        admitted(prompt=typed)

    assert refused.value.word == "red rum"


@pytest.mark.parametrize(
    "typed",
    [
        "a red drum",
        "red\nrumble of thunder",
        "scared rum drinker",
        "redrum<|endoftext|>bottle",
        "p r e d i c t a b l e",
        "the letters r e d on a drum",
        "r.e.d. carpet, rum.",
    ],
)
def test_a_prompt_that_only_looks_like_a_blocked_one_is_admitted(typed: str) -> None:
    assert admitted(prompt=typed).prompt


def test_what_is_not_chosen_is_the_models_default() -> None:
    red, plain = (DOOR.admit(prompt="a fox", model=model) for model in ("red", "plain"))

    assert (red.steps, red.guidance_scale, red.size) == (50, 7.5, Size(512, 512))
    assert (plain.steps, plain.guidance_scale) == (4, None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"guidance": 7.5}, "“plain” has no use for the option guidance, so nothing"),
        ({"negative_prompt": "snow"}, "“plain” has no use for the option negative prompt, so"),
        ({"size": "768x512"}, "The size “768x512” is not offered here; choose one of 512x512."),
    ],
)
def test_what_the_model_has_no_use_for_is_refused(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        admitted(**({"model": "plain", "guidance": None} | options))

    assert sentence in texts.refused(refused.value)


def test_a_negative_prompt_without_guidance_is_refused() -> None:
    with pytest.raises(NoEffect) as refused:
        admitted(negative_prompt="snow", guidance=1.0)

    assert "has an effect only if guidance is above 1," in texts.refused(refused.value)


def test_again_leaves_out_what_was_recorded_without_effect() -> None:
    older = replace(a_request("a fox", model="plain"), negative_prompt="snow", guidance_scale=7.5)

    again = DOOR.admit_again(older)

    assert (again.negative_prompt, again.guidance_scale) == ("", None)


def test_another_model_is_asked_with_its_own_defaults() -> None:
    request = admitted()

    moved = LIMITS.as_asked_of(request, "plain")
    back = LIMITS.as_asked_of(moved, "red")
    chosen = LIMITS.as_asked_of(replace(request, steps=20, guidance_scale=3.0), "plain")

    assert (moved.model, moved.steps, moved.guidance_scale) == ("plain", 4, None)
    assert (back.steps, back.guidance_scale) == (50, 7.5)
    assert (chosen.steps, chosen.guidance_scale) == (20, 3.0)

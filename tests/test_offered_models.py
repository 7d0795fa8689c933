"""Members choose between several models, where there are several."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.chat.imagine import imagine_command
from bot.configuration import limits_of
from bot.offered_models import OfferedModel
from bot.settings import Settings, SettingsError, load
from generation.families import PLACEHOLDER, Traits
from tests.support.discord.world import quick_settings, seen, set_button, text_of, world

NO_FILE = Path("/nonexistent/.env")
SEVERAL = {"model": "somebody/red", "more_models": "somebody/green,/models/blue"}


def settings_of(**environment: str) -> Settings:
    return load({f"OXHERD_{name.upper()}": text for name, text in environment.items()}, NO_FILE)


def option(settings: Settings, name: str, **takes: Traits) -> dict[str, Any] | None:
    """The command's option as Discord is told of it. takes: of some of the models."""
    client = discord.Client(intents=discord.Intents.none())
    tree: discord.app_commands.CommandTree[discord.Client] = discord.app_commands.CommandTree(
        client
    )
    models = {each.name: takes.get(each.name, PLACEHOLDER) for each in settings.offered_models}
    payload = imagine_command(settings, limits_of(settings, models)).to_dict(tree)

    return next((each for each in payload["options"] if each["name"] == name), None)


def test_the_first_is_the_default_and_a_revision_may_be_named() -> None:
    settings = settings_of(
        model="somebody/red", revision="abc", more_models="a/green, a/green@refs/pr/1,/m/@x/blue/"
    )

    assert settings.offered_models == (
        OfferedModel(name="red", model="somebody/red", revision="abc"),
        OfferedModel(name="green", model="a/green", revision=None),
        OfferedModel(name="green@refs/pr/1", model="a/green", revision="refs/pr/1"),
        OfferedModel(name="blue", model="/m/@x/blue/", revision=None),
    )


@pytest.mark.parametrize("more", ["other/red", "a/green,b/green", "a/green@1,b/green@1"])
def test_two_models_of_one_name_are_a_sentence(more: str) -> None:
    with pytest.raises(SettingsError, match=r"members would see two models called '(red|green)"):
        settings_of(model="somebody/red", more_models=more)


def test_a_model_without_a_name_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="'/' has no usable name"):
        settings_of(more_models="/")


def test_with_one_model_there_is_nothing_to_choose() -> None:
    assert option(settings_of(), "model") is None
    assert option(settings_of(), "size") is not None


def test_with_several_their_names_are_the_choices() -> None:
    chosen = option(settings_of(**SEVERAL), "model")

    assert chosen is not None
    assert not chosen["required"]
    assert chosen["description"] == "What makes the images; without it, this server's default"
    assert [choice["value"] for choice in chosen["choices"]] == ["red", "green", "blue"]


def test_an_option_that_no_model_has_a_use_for_is_not_offered() -> None:
    plain = replace(PLACEHOLDER, steps=4, guidance=None, negative_prompt=False)
    one, several = settings_of(model="a/red"), settings_of(model="a/red", more_models="a/green")

    assert option(one, "guidance", red=plain) is option(one, "negative_prompt", red=plain) is None
    assert option(several, "guidance", red=plain) is not None
    steps = [option(settings, "steps", red=plain) for settings in (one, several)]
    assert [each and each["description"] for each in steps] == [
        "Denoising steps (default 4)",
        "Denoising steps (the default depends on the model)",
    ]


async def test_a_chosen_model_makes_the_images_and_again_asks_it_again(tmp_path: Path) -> None:
    async with world(tmp_path, **SEVERAL) as w:
        message = await w.imagine(w.alice, "a fox", model="green")
        assert "guidance 7.5 · green" in text_of(message)
        assert loaded(w) == 2

        await w.restart()
        await w.bob.click(message, custom_id=set_button(message, "again"))
        await w.posted()

        assert "guidance 7.5 · green" in text_of(w.last_message())
        assert w.last_message().id != message.id
        assert loaded(w) == 2


async def test_the_default_has_its_name_whether_or_not_it_is_chosen(tmp_path: Path) -> None:
    async with world(tmp_path, **SEVERAL) as w:
        chosen = await w.imagine(w.alice, "a fox", model="red")
        default = await w.imagine(w.alice, "a fox")

        assert "guidance 7.5 · red · for" in text_of(chosen)
        assert "guidance 7.5 · red · for" in text_of(default)
        assert loaded(w) == 1


async def test_a_model_that_is_no_longer_offered_is_refused_with_those_that_are(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, **SEVERAL) as w:
        message = await w.imagine(w.alice, "a fox", model="green")

        w.settings = quick_settings(tmp_path, model="somebody/red", more_models="/models/blue")
        await w.restart()
        fewer = await w.bob.click(message, custom_id=set_button(message, "again"))
        w.settings = quick_settings(tmp_path, model="somebody/red")
        await w.restart()
        none = await w.bob.click(message, custom_id=set_button(message, "again"))

        refusal = "The model “green” is not offered here; choose one of "
        assert text_of(seen(fewer)) == f"{refusal}red, blue."
        assert text_of(seen(none)) == f"{refusal}red."


def loaded(w: Any) -> int:
    return len(w.parts.executor.status().workers[0].models)

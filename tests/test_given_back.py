"""Whatever refuses a request gives back what was typed for it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord import InteractionResult

from bot.chat import responses, texts
from bot.chat.privacy import sentences
from bot.prompts.typed import Typed
from storage.acts import Order
from tests.support.discord.servers import other_server
from tests.support.discord.world import World, buttons, seen, text_of, world

PROMPT = "a *fox* in the snow"
GIVEN_BACK = (
    f"This is what you asked for:\n{texts.quoted(PROMPT)}\nwithout: rain\n"
    f"{texts.quoted('steps 7, size 64x64')}"
)

# Not done before the test is, however slow the machine.
SLOW = {"placeholder_step_seconds": 0.5}


async def ask(w: World, **options: Any) -> InteractionResult:
    """A request with all that there is to type."""
    asked = {"negative_prompt": "rain", "steps": 7, "size": "64x64", **options}

    return await w.ask(w.alice, PROMPT, **asked)


def offer(w: World, name: str, **changes: Any) -> None:
    """Have Discord offer the option so, as if an older bot had registered the command."""
    command = w.env.backend.commands[None]["imagine", 1]
    [option] = [option for option in command["options"] if option["name"] == name]
    option.update(changes)


async def ban(w: World) -> None:
    order = Order(guild_id=w.guild.id, moderator_id=1, reason="a test")
    await w.parts.store.moderation.ban(w.alice.id, order, lasts=timedelta(hours=1))


async def pause(w: World) -> None:
    await w.moderator().slash(w.channel, "oxherd pause")


async def allow_nobody(w: World) -> None:
    await w.moderator().slash(w.channel, "oxherd limits", account_days=10_000)


async def fill_the_line(w: World) -> None:
    for name in ("a", "b", "c"):
        await w.ask(w.member(name), "an owl")


async def ask_too_often(w: World) -> None:
    await w.ask(w.alice, "an owl")
    await w.ask(w.alice, "an owl")


async def close(w: World) -> None:
    w.parts.executor.stop_accepting()


async def lose_the_journal(w: World) -> None:
    w.parts.store._closing = True


async def offer_a_large_size(w: World) -> None:
    offer(w, "size", choices=[{"name": "64x64", "value": "640x640"}])


async def offer_many_steps(w: World) -> None:
    offer(w, "steps", max_value=1_000)


@pytest.mark.parametrize(
    ("happens", "options", "sentence"),
    [
        pytest.param(ban, {}, "have banned you from asking", id="banned"),
        pytest.param(pause, {}, "Moderators have paused", id="paused"),
        pytest.param(allow_nobody, {}, "your Discord account must be", id="barred"),
        pytest.param(fill_the_line, {}, "The line is full", id="a full line"),
        pytest.param(ask_too_often, {}, "You already have 1 request waiting", id="too many"),
        pytest.param(close, {}, "I am restarting", id="stopping"),
        pytest.param(lose_the_journal, {}, "nothing was recorded", id="not recorded"),
        pytest.param(offer_a_large_size, {"size": "640x640"}, "is not offered", id="a size"),
        pytest.param(offer_many_steps, {"steps": 999}, "The number of steps must be", id="steps"),
    ],
)
async def test_a_refused_request_gives_back_what_was_typed(
    tmp_path: Path,
    happens: Callable[[World], Awaitable[None]],
    options: dict[str, Any],
    sentence: str,
) -> None:
    async with world(tmp_path, max_waiting=2, max_waiting_per_person=1, **SLOW) as w:
        await happens(w)
        refused = seen(await ask(w, **options))

        said = text_of(refused.message)
        assert refused.ephemeral
        assert sentence in said
        expected = GIVEN_BACK
        for name, value in options.items():
            usual = {"steps": "7", "size": "64x64"}[name]
            expected = expected.replace(f"{name} {usual}", f"{name} {value}")

        assert said.endswith(expected)


async def test_an_unexpected_error_gives_it_back_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with world(tmp_path) as w:
        monkeypatch.setattr(w.parts.requests.gate, "admit_request", broken)
        refused = seen(await ask(w))

        assert "Something broke on my side" in text_of(refused.message)
        assert text_of(refused.message).endswith(GIVEN_BACK)
        caplog.clear()


async def test_where_nobody_is_served_it_is_given_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)
        refused = await other.member.slash(other.channel, "imagine", prompt=PROMPT)

        said = text_of(seen(refused).message)
        assert "this is none of them" in said
        assert said.endswith(f"This is what you asked for:\n{texts.quoted(PROMPT)}")


async def test_an_empty_prompt_gives_back_the_rest_and_nothing_gives_back_nothing(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        rest = await w.ask(w.alice, " ", negative_prompt="rain", seed=3)
        nothing = await w.ask(w.alice, " ")

        assert "without: rain\nseed 3" in text_of(seen(rest).message)
        assert text_of(seen(nothing).message).endswith("Describe what you want to see.")


async def test_what_is_too_long_for_a_message_comes_back_whole_in_a_file(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        offer(w, "prompt", max_length=6_000)
        refused = seen(await w.ask(w.alice, "*" * 6_000, negative_prompt="rain", seed=3))

        assert "The prompt is 6000 characters long" in refused.content
        assert len(refused.content) < responses.MESSAGE_CHARS
        [file] = refused.attachments
        assert file.filename == "prompt.txt"
        assert file.size == len("*" * 6_000 + "\n\nrain\n\nseed 3")


async def set_consent_text(w: World) -> None:
    order = Order(guild_id=w.guild.id, moderator_id=None)
    await w.parts.store.moderation.set_consent_text("Votes are published.", order)


async def test_what_is_too_long_beside_the_text_to_agree_to_is_in_a_file(tmp_path: Path) -> None:
    async with world(tmp_path, max_prompt_chars=1_500) as w:
        await set_consent_text(w)
        panel = seen(await w.ask(w.alice, "*" * 1_500, negative_prompt="*" * 1_500))

        assert "Votes are published." in text_of(panel.message)
        assert [file.size for file in panel.attachments] == [3_002]


async def test_who_has_to_agree_first_sees_what_was_typed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await set_consent_text(w)
        panel = seen(await ask(w)).message

        assert "Votes are published." in text_of(panel)
        assert text_of(panel).endswith(GIVEN_BACK)

        await w.restart()
        [custom_id] = buttons(panel)
        lost = await w.alice.click(panel, custom_id=custom_id)

        assert text_of(seen(lost).message) == sentences.ask_again()
        assert GIVEN_BACK in seen_again(w, panel)


def seen_again(w: World, message: discord.Message) -> str:
    """The private message as it is now."""
    return next(text_of(each) for each in w.private(w.alice) if each.id == message.id)


async def test_a_request_that_is_refused_after_its_member_agreed_gives_it_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        await set_consent_text(w)
        panel = seen(await ask(w)).message
        await pause(w)
        [custom_id] = buttons(panel)
        refused = await w.alice.click(panel, custom_id=custom_id)

        said = text_of(seen(refused).message)
        assert "Moderators have paused" in said
        assert said.endswith(GIVEN_BACK)
        assert seen_again(w, panel) == sentences.thank_you()


def test_text_that_cannot_be_sent_is_given_back_as_far_as_it_can_be() -> None:
    typed = Typed.of({"prompt": "a \ud800 fox\nin two lines", "seed": 3})

    assert typed.prompt == "a ? fox\nin two lines"
    assert str(typed) == "a ? fox\nin two lines\n\nseed 3"

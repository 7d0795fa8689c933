"""/imagine as members and moderators meet it."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest

from bot.chat import following, messages, texts
from bot.chat.custom_ids import SetId
from generation.queue.job import JobProgress, JobState
from generation.queue.status import WorkerState
from storage.folder import DataFolder
from storage.vote import Rating
from tests.support.discord.world import (
    World,
    buttons,
    image_ids,
    seen,
    set_button,
    text_of,
    vote_ids,
    world,
)

# Not done before the test is, however slow the machine; cancelled soon all the same.
SLOW = {"placeholder_step_seconds": 0.5, "default_steps": 100}


async def test_four_images_in_one_gallery_over_a_row_of_buttons_for_each_rating(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox in the snow")

        assert len(message.attachments) == 4
        assert set(vote_ids(message)) == {(s, r) for s in (1, 2, 3, 4) for r in Rating}
        assert len(buttons(message)) == 12
        [box] = message.components
        assert isinstance(box, discord.Container)
        kinds = [child.type.name for child in box.children]
        assert kinds[1:4] == ["media_gallery", "action_row", "action_row"]
        [gallery] = [
            child for child in box.children if isinstance(child, discord.MediaGalleryComponent)
        ]
        shown = [item.media.url.partition("?")[0] for item in gallery.items]
        assert [url.rpartition("/")[2] for url in shown] == [
            f"{id}.png" for id in image_ids(message)
        ]
        assert [item.description for item in gallery.items] == [
            f"Image {slot}: a fox in the snow" for slot in (1, 2, 3, 4)
        ]
        rows = [child for child in box.children if isinstance(child, discord.ActionRow)]
        labels = [
            [
                f"{part.emoji} {part.label}"
                for part in row.children
                if isinstance(part, discord.Button)
            ]
            for row in rows[:2]
        ]
        assert labels == [[f"{face} {slot}" for slot in (1, 2, 3, 4)] for face in "👍👎"]


async def test_the_answer_comes_at_once_and_says_where_one_stands(tmp_path: Path) -> None:
    async with world(tmp_path, placeholder_step_seconds=10, default_steps=100) as w:
        first = await w.ask(w.alice, "a fox")
        assert "Starting" in text_of(seen(first).message)

        second = await w.ask(w.bob, "an owl")
        third = await w.ask(w.member("carol"), "a crow")

        assert "next in line" in text_of(seen(second).message)
        assert "number 2 in line" in text_of(seen(third).message)


def test_a_wait_that_is_not_known_yet_is_not_spoken_of() -> None:
    progress = JobProgress(state=JobState.WAITING, position=1, steps=2)

    assert texts.progress_sentence(progress) == "⏳ Waiting: next in line."


async def test_the_wait_that_is_shown_is_in_real_seconds(tmp_path: Path) -> None:
    async with world(tmp_path, placeholder_step_seconds=0.1, default_steps=5) as w:
        await w.imagine(w.alice, "a fox")
        pace_s = w.parts.executor.status().seconds_per_request
        await w.ask(w.alice, "a fox", steps=20)
        waiting = await w.ask(w.bob, "an owl")

        assert pace_s is not None
        assert 0.5 <= pace_s < 10
        assert "next in line, a few seconds until it is done" in text_of(seen(waiting).message)
        await w.posted()


@pytest.fixture
def frequent_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PROGRESS_EVERY_S", following.PROGRESS_EVERY_S / 20)


@pytest.mark.usefixtures("frequent_progress")
async def test_progress_is_shown_and_the_message_ends_as_the_result(tmp_path: Path) -> None:
    async with world(tmp_path, placeholder_step_seconds=0.05, default_steps=20) as w:
        result = await w.ask(w.alice, "a fox")
        await w.until(lambda: "step" in text_of(seen(result).message))

        await w.posted()

        assert len(w.last_message().attachments) == 4
        assert seen(result).id == w.last_message().id


@pytest.mark.parametrize(
    "prompt",
    [
        "@everyone <@1> <@&2> look",
        "**bold** `code` ||spoiler|| [link](https://example.org)",
        "one\ntwo\r\nthree",
        '=HYPERLINK("https://example.org","click")',
        "a fox <|endoftext|> in the snow",
        "漢字 🦊 и кириллица",
    ],
    ids=["mentions", "markdown", "newlines", "formula", "token", "scripts"],
)
async def test_any_text_is_data(tmp_path: Path, prompt: str) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, prompt)
        await w.vote(w.bob, message, 1, Rating.GOOD)
        await w.committed()

        [row] = w.rows()
        assert "<|endoftext|>" not in row["prompt"]
        assert "\n" not in row["prompt"]
        assert not row["prompt"].startswith("=")
        assert [user.id for user in message.mentions] == [w.alice.id]  # who asked, by us
        assert not message.mention_everyone
        for request in w.env.http_requests:
            assert not _mentions_allowed(request.json)


def _mentions_allowed(body: object) -> bool:
    if not isinstance(body, dict):
        return False

    data = body.get("data", body)
    if not isinstance(data, dict) or ("components" not in data and "content" not in data):
        return False

    return (data.get("allowed_mentions") or {}).get("parse") != []


async def test_an_empty_prompt_gets_a_sentence(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        result = await w.ask(w.alice, " ​\n ".replace("​", " "))

        assert seen(result).ephemeral
        assert "The prompt is empty" in text_of(seen(result).message)


async def test_a_size_that_a_stale_command_offers_is_refused_with_those_of_today(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        offer_sizes(w, "999x999", "large")
        for size in ("999x999", "large"):
            result = await w.ask(w.alice, "a fox", size=size)

            said = text_of(seen(result).message)
            assert seen(result).ephemeral
            assert f"The size “{size}” is not offered here" in said
            assert "64x64, 128x64" in said


def offer_sizes(w: World, *sizes: str) -> None:
    """Have Discord offer these, as if an older bot had registered the command."""
    command = w.env.backend.commands[None]["imagine", 1]
    [option] = [option for option in command["options"] if option["name"] == "size"]
    option["choices"] = [{"name": size, "value": size} for size in sizes]


async def test_a_full_line_says_so_with_numbers(tmp_path: Path) -> None:
    async with world(tmp_path, max_waiting=2, **SLOW) as w:
        for name in ("a", "b", "c"):
            await w.ask(w.member(name), "a fox")

        refused = await w.ask(w.bob, "an owl")

        assert seen(refused).ephemeral
        assert "The line is full, with 2 requests waiting" in text_of(seen(refused).message)


async def test_one_persons_share_is_limited(tmp_path: Path) -> None:
    async with world(tmp_path, max_waiting_per_person=1, **SLOW) as w:
        await w.ask(w.alice, "one")
        await w.ask(w.alice, "two")

        refused = await w.ask(w.alice, "three")
        accepted = await w.ask(w.bob, "four")

        assert "You already have 1 request waiting" in text_of(seen(refused).message)
        assert not seen(accepted).ephemeral


async def test_only_the_requester_cancels(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        asked = await w.ask(w.alice, "a fox")
        button = set_button(seen(asked).message, "cancel")

        refused = await w.bob.click(seen(asked), custom_id=button)
        await w.alice.click(seen(asked), custom_id=button)
        await w.posted()

        assert text_of(seen(refused).message) == texts.not_yours()
        assert texts.cancelled() in text_of(w.last_message())
        assert w.last_message().attachments == []


async def test_cancelling_what_is_over_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        again = SetId.parse(set_button(message, "again"))

        late = await w.press(w.alice, message, str(SetId("cancel", again.set_id)))

        assert seen(late).ephemeral
        assert text_of(seen(late).message) == texts.button_gone()


async def test_a_request_that_the_journal_does_not_have_is_explained_when_cancelled(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, **SLOW) as w:
        asked = await w.ask(w.alice, "a fox")
        await w.end()
        with closing(sqlite3.connect(DataFolder(tmp_path).journal)) as journal, journal:
            journal.execute("DELETE FROM sets")

        await w.begin()
        button = set_button(seen(asked).message, "cancel")
        await w.alice.click(seen(asked), custom_id=button)

        assert text_of(seen(asked).message) == texts.forgotten()


async def _never(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


async def test_again_makes_new_images_of_the_same_prompt(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        first = await w.imagine(w.alice, "a fox", seed=1, steps=3)
        await w.bob.click(first, custom_id=set_button(first, "again"))
        await w.posted()
        second = w.last_message()
        await w.committed()

        rows = {row["image_id"]: row for row in w.generations()}
        old, new = ([rows[i] for i in image_ids(m)] for m in (first, second))
        assert first.id != second.id
        assert {row["prompt"] for row in old + new} == {"a fox"}
        assert {row["steps"] for row in new} == {"3"}
        assert not {row["seed"] for row in old} & {row["seed"] for row in new}


async def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        first = await w.imagine(w.alice, "a fox", seed=99)
        second = await w.imagine(w.bob, "a fox", seed=99)
        await w.committed()

        hashes = [row["sha256"] for row in w.generations()]
        assert first.id != second.id
        assert hashes[:4] == hashes[4:]
        assert len(set(hashes)) == 4


async def test_details_tell_each_images_seed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a *fox*", seed=41)

        result = await w.bob.click(message, custom_id=set_button(message, "details"))

        said = text_of(seen(result).message)
        assert seen(result).ephemeral
        assert "a \\*fox\\*" in said
        assert "placeholder" in said
        for slot, image_id in enumerate(image_ids(message), start=1):
            assert f"image {slot}: seed `{40 + slot}`, id `{image_id}`" in said


async def test_details_of_the_longest_prompts_fit_into_a_message(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "*" * 500, negative_prompt="a_" * 250)

        result = await w.bob.click(message, custom_id=set_button(message, "details"))

        said = text_of(seen(result).message)
        assert len(said) <= 2000
        assert said.startswith("**" + r"\*" * 249 + "…**\nwithout: ")
        assert "image 4: seed" in said


async def test_without_the_right_to_attach_files_nothing_starts(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        me = w.guild.me
        assert me is not None
        w.channel = w.guild.create_text_channel(
            "text-only", overwrites={me: discord.PermissionOverwrite(attach_files=False)}
        )

        result = await w.ask(w.alice, "a fox")

        assert seen(result).ephemeral
        said = text_of(seen(result).message)
        assert said == f"{texts.no_attachments()} This is what you asked for:\na fox"
        assert w.parts.executor.status().running == 0


async def test_images_that_were_made_but_not_posted_are_shown_after_the_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posting = asyncio.Event()

    async def post(*_: object, **__: object) -> None:
        posting.set()
        await _never()

    async with world(tmp_path) as w:
        with monkeypatch.context() as patched:
            patched.setattr(messages.Place, "post", post)
            asked = await w.ask(w.alice, "a fox")
            await posting.wait()
            await w.end()

        await w.begin()
        await w.until(lambda: len(w.last_message().attachments) == 4)
        assert w.last_message().id == seen(asked).id
        await w.vote(w.bob, w.last_message(), 2, Rating.GOOD)
        await w.committed()
        assert len(w.rows()) == 1
        assert len(w.generations()) == 4


async def test_images_arrive_as_a_new_message_when_the_token_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "TOKEN_LIFE", timedelta(seconds=-1))
    async with world(tmp_path) as w:
        asked = await w.ask(w.alice, "a fox")
        await w.posted()

        assert len(w.last_message().attachments) == 4
        assert w.last_message().id != seen(asked).id
        await w.vote(w.bob, w.last_message(), 1, Rating.GOOD)
        await w.committed()
        assert len(w.rows()) == 1


async def test_a_request_that_could_not_be_shown_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, **SLOW) as w:
        with monkeypatch.context() as patched:
            patched.setattr(discord.InteractionResponse, "send_message", _unreachable)
            await w.ask(w.alice, "a fox")

        await w.posted()

        assert w.channel.last_message is None


@pytest.mark.usefixtures("frequent_progress")
async def test_progress_that_could_not_be_shown_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = messages.Place.show

    async def no_progress(place: messages.Place, view: Any, files: Any = ()) -> None:
        if not files:
            raise aiohttp.ServerDisconnectedError

        await show(place, view, files)

    monkeypatch.setattr(messages.Place, "show", no_progress)
    async with world(tmp_path, placeholder_step_seconds=0.05, default_steps=20) as w:
        message = await w.imagine(w.alice, "a fox")

        assert len(message.attachments) == 4


async def test_images_that_could_not_be_posted_are_explained_in_their_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages.Place, "post", _unreachable)
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")

        assert texts.cannot_post() in text_of(message)
        assert set_button(message, "again")


async def _unreachable(*_: object, **__: object) -> None:
    raise aiohttp.ServerDisconnectedError


async def test_a_message_deleted_while_it_runs_stops_the_work(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        asked = await w.ask(w.alice, "a fox")

        await seen(asked).message.delete()
        await w.posted()

        await w.until(lambda: w.worker_state() is WorkerState.IDLE)

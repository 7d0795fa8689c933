"""A slow request shows how far its images are, and nothing of that stays."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
from PIL import Image

from bot.chat import following, messages, texts
from bot.chat.custom_ids import VoteId
from generation.image_files import preview_jpeg
from generation.queue.executor import Executor
from generation.queue.status import WorkerState
from generation.worker import preview_budget
from tests.support.discord.world import (
    Real,
    World,
    buttons,
    image_ids,
    seen,
    set_button,
    text_of,
    world,
)
from tests.support.generation.inline_worker import inline_workers
from tests.support.generation.requests import a_request
from tests.support.generation.scripted_backend import one_model

# Long enough for a preview, and not done before the test is; cancelled soon all the same.
SLOW = {"placeholder_step_seconds": 0.5, "default_steps": 100}
TWO_SECONDS = {"placeholder_step_seconds": 0.1, "default_steps": 20}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are edited ten times as often."""
    monkeypatch.setattr(preview_budget, "EVERY_S", preview_budget.EVERY_S / 10)
    monkeypatch.setattr(following, "PROGRESS_EVERY_S", following.PROGRESS_EVERY_S / 10)


@pytest.fixture
def two_seconds_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_budget, "MIN_REMAINING_S", preview_budget.MIN_REMAINING_S / 10)


def names(message: discord.Message) -> list[str]:
    return [attachment.filename for attachment in message.attachments]


def shows_preview(message: discord.Message) -> bool:
    return names(message) == ["preview.jpg"]


async def with_preview(w: World, **options: Any) -> Any:
    """A request of alice's, once its message shows a preview."""
    asked = await w.ask(w.alice, "a fox", **options)
    await w.until(lambda: shows_preview(seen(asked).message))

    return seen(asked)


def test_a_preview_is_one_small_picture_of_all_images() -> None:
    pictures = [Image.new("RGB", (8, 6), (60 * n, 0, 0)) for n in range(4)]

    four, one = (Image.open(io.BytesIO(preview_jpeg(some))) for some in (pictures, pictures[:1]))

    assert four.format == "JPEG"
    assert max(four.size) < 400
    assert [pixel[0] // 50 for pixel in _corners(four)] == [0, 1, 2, 3]
    assert one.size == (384, 288)


def _corners(image: Image.Image) -> Sequence[Any]:
    width, height = image.size
    places = [(5, 5), (width - 5, 5), (5, height - 5), (width - 5, height - 5)]

    return [image.getpixel(at) for at in places]


async def test_a_slow_request_shows_a_preview_that_says_what_it_is_and_takes_no_votes(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, **SLOW) as w:
        shown = await with_preview(w)

        [attachment] = shown.message.attachments
        said = text_of(shown.message)
        assert "Preview, step " in said
        assert " of 100: rough, and not kept" in said
        assert attachment.size < 20_000
        assert not [custom for custom in buttons(shown.message) if VoteId.PATTERN.fullmatch(custom)]
        [box] = shown.message.components
        assert [child.type.name for child in box.children].count("media_gallery") == 1


@pytest.mark.usefixtures("two_seconds_are_long")
@pytest.mark.stalls("the test looks through the data folder itself")
async def test_the_preview_gives_way_to_the_images_and_is_stored_nowhere(tmp_path: Path) -> None:
    async with world(tmp_path, Real.OXEN, **TWO_SECONDS) as w:
        await with_preview(w)
        await w.posted()
        message = w.last_message()
        await w.committed()

        assert names(message) == [f"{image_id}.png" for image_id in image_ids(message)]
        assert "Preview" not in text_of(message)
        assert len(w.generations()) == 4

    suffixes = {path.suffix for path in sorted(tmp_path.rglob("*"))}  # noqa: ASYNC240 - nothing runs
    assert suffixes.isdisjoint({".jpg", ".jpeg"})


async def test_the_preview_is_gone_when_the_request_is_cancelled(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        shown = await with_preview(w)

        await w.alice.click(shown, custom_id=set_button(shown.message, "cancel"))
        await w.posted()

        assert texts.cancelled() in text_of(w.last_message())
        assert names(w.last_message()) == []


async def test_the_preview_is_gone_when_the_request_fails(tmp_path: Path) -> None:
    async with world(tmp_path, Real.WORKER_PROCESS, **SLOW) as w:
        await with_preview(w)

        w.kill_worker()
        await w.until(lambda: w.worker_state() is not WorkerState.BUSY)
        await w.until(lambda: w.worker_state() is WorkerState.BUSY)  # it is tried once more
        w.kill_worker()
        await w.posted()

        assert "The images could not be made" in text_of(w.last_message())
        assert names(w.last_message()) == []


async def test_the_preview_is_gone_when_the_bot_was_restarted(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        shown = await with_preview(w)

        await w.restart()

        await w.until(lambda: names(shown.message) == [])


@pytest.mark.usefixtures("two_seconds_are_long")
async def test_the_preview_is_gone_when_the_images_are_in_a_new_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, **TWO_SECONDS) as w:
        shown = await with_preview(w)
        monkeypatch.setattr(messages, "TOKEN_LIFE", timedelta(seconds=-1))

        await w.posted()

        assert len(w.last_message().attachments) == 4
        assert w.last_message().id != shown.id
        old = shown.message
        assert texts.elsewhere() in text_of(old)
        assert old.attachments == []
        assert buttons(old) == []


async def test_a_quick_request_shows_none(tmp_path: Path) -> None:
    async with world(tmp_path, **TWO_SECONDS) as w:
        await w.imagine(w.alice, "a fox")

        assert b"preview.jpg" not in _sent(w)


@pytest.mark.usefixtures("two_seconds_are_long")
async def test_moderators_can_turn_previews_off(tmp_path: Path) -> None:
    async with world(tmp_path, **TWO_SECONDS, preview="never") as w:
        await w.imagine(w.alice, "a fox")

        assert b"preview.jpg" not in _sent(w)


def _sent(w: World) -> bytes:
    return repr([request.json for request in w.env.http_requests]).encode()


@pytest.mark.usefixtures("two_seconds_are_long")
async def test_a_preview_that_cannot_be_drawn_costs_no_images(tmp_path: Path) -> None:
    slow = replace(a_request("spoil", steps=10), guidance_scale=0.11)  # seconds a step
    with inline_workers():
        async with Executor.open(one_model(tmp_path)) as executor:
            result = await executor.submit(slow, owner=1).result()

    assert len(result.images) == 4
    assert (tmp_path / "drawn").exists()

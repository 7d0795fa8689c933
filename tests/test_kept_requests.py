"""A request that was accepted is made, once, whatever restarts come between."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.app import wind_down
from bot.chat import following, messages, texts
from bot.chat.following import Follower
from bot.chat.messages import Place
from bot.chat.requests import MOST_TRIES
from storage.folder import DataFolder
from storage.vote import SetState
from tests.support.discord.world import World, buttons, seen, set_button, text_of, world

SLOW = {"placeholder_step_seconds": 0.5, "default_steps": 100}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are edited often after a restart."""
    monkeypatch.setattr(following, "PROGRESS_BY_CHANNEL_EVERY_S", 0.1)


def quickly(w: World) -> None:
    """From the next start on, a step takes no time."""
    w.settings = w.settings.model_copy(update={"placeholder_step_seconds": 0})


def requests(data: Path) -> list[tuple[str, int]]:
    """The state of each request in the journal and how many images it has, oldest first."""
    with closing(sqlite3.connect(DataFolder(data).journal)) as journal:
        return journal.execute(
            "SELECT state, (SELECT count(*) FROM images WHERE images.set_id = sets.set_id)"
            " FROM sets ORDER BY rowid"
        ).fetchall()


def tries(data: Path) -> list[int]:
    """How often each request was begun and cut off, oldest first."""
    with closing(sqlite3.connect(DataFolder(data).journal)) as journal:
        return [number for (number,) in journal.execute("SELECT tries FROM sets ORDER BY rowid")]


async def begun(w: World, *, times: int) -> None:
    """Wait until a worker has begun the oldest request so many times."""
    await w.until(lambda: tries(w.settings.data)[0] == times)


async def test_running_and_waiting_requests_are_made_after_a_restart_in_order(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, **SLOW) as w:
        asked = [
            await w.ask(w.alice, "one"),
            await w.ask(w.bob, "two"),
            await w.ask(w.bob, "three"),
        ]
        await w.end()
        await w.begin()
        await w.until(lambda: "next in line" in text_of(seen(asked[1]).message))
        await w.until(lambda: "number 2 in line" in text_of(seen(asked[2]).message))

        await w.end()
        quickly(w)
        await w.begin()
        await w.posted()

        assert [len(seen(one).message.attachments) for one in asked] == [4, 4, 4]
        await w.committed()
        made = [row["prompt"] for row in w.generations()]
        assert made == ["one"] * 4 + ["two"] * 4 + ["three"] * 4
        assert requests(tmp_path) == [(SetState.POSTED, 4)] * 3


async def test_a_kept_request_can_be_cancelled_by_its_requester_alone(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        await w.ask(w.alice, "one")
        asked = await w.ask(w.bob, "two")
        await w.restart()
        button = set_button(seen(asked).message, "cancel")

        refused = await w.alice.click(seen(asked), custom_id=button)
        await w.bob.click(seen(asked), custom_id=button)

        assert text_of(seen(refused).message) == texts.not_yours()
        await w.until(lambda: texts.cancelled() in text_of(seen(asked).message))
        assert requests(tmp_path)[1] == (SetState.CANCELLED, 0)


async def test_kept_requests_are_not_refused_by_the_limits_of_the_queue(tmp_path: Path) -> None:
    async with world(tmp_path, max_waiting=1, max_waiting_per_person=1, **SLOW) as w:
        await w.ask(w.alice, "one")
        await w.ask(w.alice, "two")
        w.settings = w.settings.model_copy(update={"max_running_per_person": 1})

        await w.restart()

        status = w.parts.executor.status()
        assert status.running + status.waiting == 2


async def test_a_kept_request_that_the_settings_no_longer_allow_is_explained(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, **SLOW) as w:
        asked = await w.ask(w.alice, "one")
        w.settings = w.settings.model_copy(update={"max_steps": 50})

        await w.restart()

        await w.posted()
        assert "must be from 1 to 50" in text_of(seen(asked).message)
        assert requests(tmp_path) == [(SetState.FAILED, 0)]


async def test_an_end_that_a_kill_kept_from_being_said_is_said_after_the_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying = asyncio.Event()

    async def never(*_: object) -> None:
        saying.set()
        await asyncio.Event().wait()

    async with world(tmp_path, **SLOW) as w:
        asked = await w.ask(w.alice, "one")
        w.settings = w.settings.model_copy(update={"max_steps": 50})
        with monkeypatch.context() as patched:
            patched.setattr(Place, "settle", never)
            await w.restart()
            await saying.wait()
            await w.end()

        await w.begin()
        await w.posted()

        assert "must be from 1 to 50" in text_of(seen(asked).message)
        assert requests(tmp_path) == [(SetState.FAILED, 0)]


async def killed_before_its_message_was_noted(w: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody asks for a fox; the bot ends once Discord shows that, and knows nothing of it."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Follower, "make", never)
        asked = await w.ask(w.alice, "a fox")
        await w.end()

    return seen(asked)


async def test_a_message_that_a_kill_kept_from_being_noted_is_found_and_gets_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        shown = await killed_before_its_message_was_noted(w, monkeypatch)
        await w.bob.send(w.channel, "who is next?")

        await w.begin()
        await w.posted()

        assert len(shown.message.attachments) == 4
        assert requests(tmp_path) == [(SetState.POSTED, 4)]


async def test_where_the_bot_may_not_read_the_history_the_images_come_in_a_new_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        hidden = discord.PermissionOverwrite(read_message_history=False)
        w.channel = w.guild.create_text_channel("quiet", overwrites={w.guild.default_role: hidden})
        old = await killed_before_its_message_was_noted(w, monkeypatch)

        await w.begin()
        await w.posted()
        assert len(w.last_message().attachments) == 4
        assert f"<@{w.alice.id}>" in text_of(w.last_message())
        assert requests(tmp_path) == [(SetState.POSTED, 4)]

        await w.bob.click(old, custom_id=set_button(old.message, "cancel"))
        assert texts.elsewhere() in text_of(old.message)
        assert buttons(old.message) == []


async def test_a_request_that_was_being_made_when_the_bot_was_killed_three_times_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path, **SLOW) as w:
        deadly = await w.ask(w.alice, "one")
        harmless = await w.ask(w.bob, "two")
        for number in range(1, MOST_TRIES + 1):
            await begun(w, times=number)
            await w.restart()

        await w.until(lambda: requests(tmp_path)[0] == (SetState.FAILED, 0))
        assert texts.given_up() in text_of(seen(deadly).message)
        assert set_button(seen(deadly).message, "again")
        await w.until(lambda: "step" in text_of(seen(harmless).message))
        assert "given up: the bot was killed 3 times while it was made" in caplog.text


async def test_a_stop_as_asked_is_no_try(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        await w.ask(w.alice, "one")
        await begun(w, times=1)

        await wind_down(w.parts, w.settings)

        assert tries(tmp_path) == [0]


async def test_images_come_in_a_new_message_when_the_restart_took_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, **SLOW) as w:
        asked = await w.ask(w.alice, "a fox")
        monkeypatch.setattr(messages, "TOKEN_LIFE", timedelta(seconds=-1))
        quickly(w)

        await w.restart()
        await w.posted()

        assert len(w.last_message().attachments) == 4
        assert w.last_message().id != seen(asked).id
        assert texts.elsewhere() in text_of(seen(asked).message)


async def test_a_stop_says_that_the_request_is_kept(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as w:
        asked = [await w.ask(w.alice, "one"), await w.ask(w.bob, "two")]

        await wind_down(w.parts, w.settings)

        for one in asked:
            assert texts.kept() in text_of(seen(one).message)

        assert requests(tmp_path) == [(SetState.WAITING, 0)] * 2


@pytest.mark.parametrize(
    ("state", "sentence"),
    [(SetState.FAILED, texts.not_made()), (SetState.CANCELLED, texts.cancelled())],
)
async def test_a_press_on_a_dead_button_mends_its_message(
    tmp_path: Path, state: SetState, sentence: str
) -> None:
    async with world(tmp_path, **SLOW) as w:
        asked = await w.ask(w.alice, "a fox")
        await w.end()
        with closing(sqlite3.connect(DataFolder(tmp_path).journal)) as journal, journal:
            journal.execute("UPDATE sets SET state = ?", (state,))

        await w.begin()
        message: Any = seen(asked).message
        await w.bob.click(seen(asked), custom_id=set_button(message, "cancel"))

        assert sentence in text_of(seen(asked).message)
        assert set_button(seen(asked).message, "again")


async def test_a_message_says_for_whom_its_images_are(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        first = await w.imagine(w.alice, "a fox")
        await w.bob.click(first, custom_id=set_button(first, "again"))
        await w.posted()

        assert f"for <@{w.alice.id}>" in text_of(first)
        assert f"for <@{w.bob.id}>" in text_of(w.last_message())

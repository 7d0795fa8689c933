"""Moderators are told once when votes do not reach the remote, and once that it is over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.chat import moderators
from bot.cli.control_server import current_status
from storage.errors import RemoteMoved, RemoteUnavailable
from storage.vote import Rating
from tests.support.discord.world import World, world
from tests.support.remote.scripted_remote import ScriptedProcess, ScriptedRemote

URL = "http://127.0.0.1:1/ox/votes"
AWAY = RemoteUnavailable.while_("pushing", reason="nobody answers")


@asynccontextmanager
async def server(
    root: Path, remote: ScriptedRemote, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, Any]]:
    """A bot with a remote, and a channel for moderators."""
    monkeypatch.setattr("bot.configuration.start_pusher", lambda *_, **__: ScriptedProcess(remote))
    async with world(root, remote=URL, remote_alarm_s=0.001) as w:
        channel = w.guild.create_text_channel("moderators")
        w.settings = w.settings.model_copy(update={"moderators_channel": channel.id})
        yield w, channel


async def look(w: World) -> None:
    """What the bot does every 15 s."""
    await moderators.tell_news(w.settings, w.parts.store, w.client)


def said(channel: Any) -> list[str]:
    """What stands in the channel, oldest first."""
    return [message.content for message in channel.history()]


async def vote(w: World) -> None:
    """A vote that is committed, wherever it is pushed."""
    message = await w.imagine(w.alice, "a fox")
    await w.vote(w.bob, message, 1, Rating.GOOD)
    async with asyncio.timeout(20):
        while not await backlog(w):  # noqa: ASYNC110  # the committer's own task
            await asyncio.sleep(0.01)


async def backlog(w: World) -> int:
    """Votes that are committed and not pushed."""
    status = await w.parts.store.status()
    assert status.remote is not None

    return 0 if status.votes_waiting else status.remote.watermark.votes_waiting


async def test_one_message_when_it_begins_and_one_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = ScriptedRemote(failures=[AWAY] * 10_000)
    async with server(tmp_path, remote, monkeypatch) as (w, channel):
        await vote(w)
        await look(w)
        await look(w)
        await w.restart()
        await look(w)
        begun = said(channel)

        remote.failures.clear()
        assert await w.parts.store.settle(20)
        await look(w)
        await look(w)

        assert len(begun) == 1
        assert begun[0].startswith(f"Votes have not reached {URL} for a few seconds: 1 vote in ")
        assert "None is lost" in begun[0]
        assert said(channel) == [*begun, f"All votes have reached {URL} again."]


async def test_the_health_check_fails_while_the_backlog_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = ScriptedRemote(failures=[AWAY] * 10_000)
    async with server(tmp_path, remote, monkeypatch) as (w, _):
        await vote(w)
        parts = (w.settings, w.parts.store, w.parts.executor, w.client)
        behind = await current_status(*parts)
        remote.failures.clear()
        assert await w.parts.store.settle(20)
        fine = await current_status(*parts)

    assert any("Votes have not reached" in problem for problem in behind.problems)
    assert behind.remote is not None
    assert behind.remote.votes_waiting == 1
    assert behind.remote.oldest_waiting_s is not None
    assert not any("Votes have not reached" in problem for problem in fine.problems)
    assert fine.remote is not None
    assert fine.remote.commits_waiting == 0


async def test_moderators_hear_once_that_another_branch_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = ScriptedRemote(failures=[RemoteMoved.at(URL, branch="main")])
    async with server(tmp_path, remote, monkeypatch) as (w, channel):
        assert await w.parts.store.settle(20)
        w.settings = w.settings.model_copy(update={"remote_alarm_s": 900.0})
        await look(w)
        await look(w)

        assert len(said(channel)) == 1
        assert "I overwrite nothing" in said(channel)[0]

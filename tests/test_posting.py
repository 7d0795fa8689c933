"""Finished images reach their message, whatever the line to Discord does."""

import asyncio
from pathlib import Path

import pytest

from bot.chat import messages, texts
from tests.support.discord import payloads
from tests.support.discord.on_stub import PATIENCE_S, on_stub
from tests.support.discord.payloads import Message
from tests.support.discord.rest import Fault


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "PAUSES_S", (0.01,))


def shows(message: Message, text: str) -> bool:
    return any(text in part.get("content", "") for part in payloads.parts(message.components))


@pytest.mark.parametrize(
    "faults",
    [
        [Fault.RESET, Fault.RESET],
        [Fault.LOST],
        [Fault.LOST, Fault.TOKEN],
        [Fault.CLOUDFLARE, Fault.CLOUDFLARE],
        [Fault.TOKEN],
        [Fault.DOWN, Fault.DOWN],
    ],
    ids=lambda faults: " ".join(fault.name.lower() for fault in faults),
)
async def test_images_are_posted_once_whatever_happens_to_their_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[Fault]
) -> None:
    async with on_stub(tmp_path, monkeypatch) as bot:
        bot.stub.faults.extend(faults)
        await bot.ask()
        await bot.posted()

        [message] = bot.messages()
        assert len(message.attachments) == 4
        assert not bot.stub.faults


async def test_what_the_message_does_not_take_comes_in_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stub(tmp_path, monkeypatch) as bot:
        # By token, through the channel; a new message, whose response is lost.
        bot.stub.faults.extend([Fault.FORBIDDEN, Fault.FORBIDDEN, Fault.LOST])
        await bot.ask()
        await bot.posted()

        old, new = bot.messages()
        assert shows(old, texts.elsewhere())
        assert len(new.attachments) == 4


async def test_only_what_discord_refuses_for_good_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stub(tmp_path, monkeypatch) as bot:
        bot.stub.faults.extend([Fault.FORBIDDEN] * 3)
        await bot.ask()
        await bot.posted()

        [message] = bot.messages()
        assert shows(message, texts.cannot_post())


async def test_images_that_were_not_posted_before_a_stop_are_posted_after_the_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stub(tmp_path, monkeypatch) as bot:
        bot.stub.faults.extend([Fault.DOWN] * 10_000)
        await bot.ask()
        async with asyncio.timeout(PATIENCE_S):
            while len(bot.stub.faults) == 10_000:  # noqa: ASYNC110  # the bot's own task
                await asyncio.sleep(0.01)

        await bot.end()
        bot.stub.faults.clear()
        bot.stub.faults.append(Fault.RESET)
        await bot.begin()
        await bot.posted()

        [message] = bot.messages()
        assert len(message.attachments) == 4

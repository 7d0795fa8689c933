"""The bot in the test's process, connected to the stand-in for Discord over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from discord.http import Route

from bot.app import Parts, following, opened
from bot.chat.client import OxherdClient
from bot.settings import Settings
from storage.dataset.memory import MemoryRepository
from tests.support.discord import payloads
from tests.support.discord.channel import Interaction
from tests.support.discord.payloads import Message
from tests.support.discord.stub import DiscordStub
from tests.support.discord.world import quick_settings
from tests.support.generation.inline_worker import inline_workers

PATIENCE_S = 100.0
ALICE = 2_000_000_000_000_000_001


class OnStub:
    """One stand-in, and the starts of a bot on it."""

    def __init__(self, stub: DiscordStub, settings: Settings) -> None:
        self.stub = stub
        self.parts: Parts
        self._settings = settings
        self._repository = MemoryRepository()
        self._life = AsyncExitStack()

    async def begin(self) -> None:
        """Start the bot on the folder."""
        enter = self._life.enter_async_context
        self.parts = await enter(opened(self._settings, repository=self._repository))
        client = await enter(
            OxherdClient(self._settings, store=self.parts.store, requests=self.parts.requests)
        )
        await enter(following(self.parts.requests))
        await client.login(payloads.TOKEN)
        gateway = asyncio.create_task(client.connect())
        self._life.push_async_callback(asyncio.wait, {gateway})
        self._life.push_async_callback(client.close)
        await self.stub.connected.wait()

    async def end(self) -> None:
        """Stop it at once."""
        await self._life.aclose()

    async def ask(self, **options: str | int | float) -> Interaction:
        """/imagine, and wait for the answer."""
        asked = await self.stub.command(ALICE, "imagine", prompt="a fox", **options)
        await asyncio.wait_for(asyncio.shield(asked.answered), PATIENCE_S)

        return asked

    async def posted(self) -> None:
        """Wait until no request is followed any more."""
        async with asyncio.timeout(PATIENCE_S):
            await self.parts.requests.finish()

    def messages(self) -> list[Message]:
        """What is in the channel, oldest first."""
        return list(self.stub.messages.values())


@asynccontextmanager
async def on_stub(
    data: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> AsyncIterator[OnStub]:
    """A bot that runs while the context lasts."""
    async with DiscordStub.open() as stub:
        monkeypatch.setattr(Route, "BASE", stub.url)
        bot = OnStub(stub, quick_settings(data, **changes))
        with inline_workers():
            await bot.begin()
            try:
                yield bot
            finally:
                await bot.end()

"""An arena in a simulated Discord: moderators open one, members prefer images, it ends."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord

from bot.chat.custom_ids import PairId
from storage.vote import Choice
from tests.support.discord.world import World, buttons, seen, text_of, world

MODELS = ("kestrel", "heron", "bittern")
"""Names that are in no sentence and no prompt."""


class Arena:
    """The arena of a world, as its moderator and its members use it."""

    def __init__(self, w: World) -> None:
        self.world = w
        self.moderator = w.moderator()

    async def start(self, *prompts: str, models: Sequence[str] = MODELS[:2], **options: Any) -> str:
        """`/oxherd arena start`, with a file of prompts if there are some; what the moderator
        reads."""
        named = {f"model_{letter}": model for letter, model in zip("abcd", models, strict=False)}
        file = {"prompts": ("prompts.txt", "\n".join(prompts).encode())} if prompts else {}

        return await self.order("start", **named, **file, **options)

    async def order(self, what: str, **options: Any) -> str:
        """`/oxherd arena …`; what the moderator reads."""
        result = await self.moderator.slash(self.world.channel, f"oxherd arena {what}", **options)
        assert seen(result).ephemeral

        return text_of(seen(result).message)

    def posts(self) -> list[discord.Message]:
        """The pairs that were posted, oldest first."""
        return [message for message in self.world.channel.history() if _pair_ids(message)]

    async def posted(self, number: int) -> discord.Message:
        """The pair that is posted as the so-manieth, once it is."""
        await self.world.until(lambda: len(self.posts()) >= number)

        return self.posts()[number - 1]

    async def prefer(self, member: Any, post: discord.Message, choice: Choice) -> str:
        """Press a button under a pair; what the member reads."""
        result = await member.click(post, custom_id=_pair_ids(post)[choice])
        assert seen(result).ephemeral

        return text_of(seen(result).message)

    async def result(self) -> str:
        """What the result says, once it is posted."""
        await self.world.until(lambda: any(map(_is_result, self.world.channel.history())))
        [message] = filter(_is_result, self.world.channel.history())

        return text_of(message)


@asynccontextmanager
async def arena(data: Path, /, **changes: Any) -> AsyncIterator[tuple[World, Arena]]:
    """A world whose bot offers three models."""
    default, *more = MODELS
    async with world(
        data, model=default, more_models=",".join(f"/m/{name}" for name in more), **changes
    ) as w:
        yield w, Arena(w)


def _pair_ids(message: discord.Message) -> dict[Choice, str]:
    ids = [id for id in buttons(message) if PairId.PATTERN.fullmatch(id)]

    return {Choice(PairId.parse(id).action): id for id in ids}


def _is_result(message: discord.Message) -> bool:
    return "The arena is over." in text_of(message)

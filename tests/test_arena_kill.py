"""An arena goes on after `kill -9`, and no vote is lost."""

import asyncio
from pathlib import Path

import pytest

from bot.chat.custom_ids import PairId
from storage.dataset.reader import dataset_rows
from tests.support.discord.payloads import Message, parts
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import QUICK, WholeProgram, gone, sweep

pytestmark = pytest.mark.stalls("starts processes; the bot is a process of its own")

PATIENCE_S = 100.0
MEMBER, MODERATOR = 2_000_000_000_000_000_001, 2_000_000_000_000_000_002
PAIRS = 4


def posts(stub: DiscordStub) -> dict[str, Message]:
    """The pairs that were posted, by their ids."""
    return {
        PairId.parse(custom_id).pair_id: message
        for message in stub.messages.values()
        for custom_id in message.buttons[:1]
        if PairId.PATTERN.fullmatch(custom_id)
    }


def is_over(stub: DiscordStub) -> bool:
    return any(
        "The arena is over." in part.get("content", "")
        for message in stub.messages.values()
        for part in parts(message.components)
    )


async def vote(stub: DiscordStub, pair: str) -> None:
    """Prefer the left image, and wait until that is recorded."""
    pressed = await stub.press(MEMBER, posts(stub)[pair], str(PairId(pair, "left")))
    read = await asyncio.wait_for(pressed.answered, PATIENCE_S)
    assert read.content.startswith("Recorded: **Left**."), read.content


async def until_next_post(stub: DiscordStub, *, after: int) -> str:
    """The id of the first pair beyond so many, once it is posted."""
    async with asyncio.timeout(PATIENCE_S):
        while len(posts(stub)) <= after:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)

    return list(posts(stub))[after]


async def test_an_arena_goes_on_after_kill_nine_and_keeps_every_vote(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    settings = {**QUICK, "OXHERD_MODEL": "kestrel", "OXHERD_MORE_MODELS": "/m/heron"}
    async with DiscordStub.open() as stub:
        async with WholeProgram.running(stub, data, settings=settings):
            started = await stub.command(
                MODERATOR,
                "oxherd arena start",
                model_a="kestrel",
                model_b="heron",
                pairs=PAIRS,
                votes=1,
            )
            await asyncio.wait_for(started.answered, PATIENCE_S)
            for number in range(PAIRS):
                asked = await stub.command(MEMBER, "imagine", prompt=f"a fox number {number}")
                await asyncio.wait_for(asked.posted, PATIENCE_S)

            first = await until_next_post(stub, after=0)
            await vote(stub, first)
            await sweep(data)
            await gone(data, within_s=10)

        async with WholeProgram.running(stub, data, settings=settings) as program:
            for number in range(1, PAIRS):
                await vote(stub, await until_next_post(stub, after=number))

            async with asyncio.timeout(PATIENCE_S):
                while not is_over(stub):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)

            await program.settled(within_s=PATIENCE_S)

        rows = [row for _, _, row in dataset_rows(data / "dataset" / "arena")]

    assert sorted(row["pair_id"] for row in rows) == sorted(posts(stub))
    assert len(rows) == PAIRS
    assert {row["choice"] for row in rows} == {"left"}
    assert {frozenset((row["model_left"], row["model_right"])) for row in rows} == {
        frozenset(("kestrel", "heron"))
    }

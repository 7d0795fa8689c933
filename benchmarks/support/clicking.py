"""Members who click at a given rate, and what they waited for."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.support.facts import spread_ms
from bot.chat.custom_ids import NotOurs, VoteId
from tests.support.discord.channel import Interaction
from tests.support.discord.payloads import Message
from tests.support.discord.rest import ACKNOWLEDGE_WITHIN_S
from tests.support.discord.stub import DiscordStub
from tests.support.storage.vote_ledger import Ledger

FIRST_VOTER = 3_000_000_000_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """One press, planned."""

    at_s: float
    voter_id: int
    message: Message
    vote: VoteId
    slot: int


@dataclass(slots=True, eq=False)
class Clicked:
    """What came of the clicks."""

    began: float = 0.0
    ended: float = 0.0
    presses: list[Interaction] = field(default_factory=list)
    behind_s: float = 0.0  # how late the clicking itself ever was

    def figures(self) -> dict[str, Any]:
        """Waiting times, and the clicks whose member read "This interaction failed"."""
        seconds = [
            press.seconds
            for press in self.presses
            if press.acknowledged.done() and press.acknowledged.exception() is None
        ]

        return {
            "clicks": len(self.presses),
            "clicks_per_s": round(len(self.presses) / (self.ended - self.began), 1),
            "click_to_acknowledged_ms": spread_ms(seconds),
            "failed": len(self.presses) - len(seconds),
            "clicker_behind_ms": round(1000 * self.behind_s, 1),
        }


def votes_on(message: Message) -> list[tuple[VoteId, int]]:
    """The message's vote buttons and the number of the image each belongs to."""
    found: list[VoteId] = []
    for custom_id in message.buttons:
        try:
            found.append(VoteId.parse(custom_id))
        except NotOurs:
            continue

    images = list(dict.fromkeys(vote.image_id for vote in found))

    return [(vote, images.index(vote.image_id) + 1) for vote in found]


def plan(
    messages: Sequence[Message], *, per_s: float, seconds: float, voters: int, seed: int
) -> list[Click]:
    """Clicks at random moments (Poisson), each voter in turn, on any image, either button."""
    randomness = random.Random(seed)
    buttons = [(message, *button) for message in messages for button in votes_on(message)]
    clicks: list[Click] = []
    at_s = 0.0
    while (at_s := at_s + randomness.expovariate(per_s)) < seconds:
        message, vote, slot = randomness.choice(buttons)
        voter_id = FIRST_VOTER + len(clicks) % voters
        clicks.append(Click(at_s=at_s, voter_id=voter_id, message=message, vote=vote, slot=slot))

    return clicks


async def click(stub: DiscordStub, clicks: Sequence[Click], ledger: Ledger | None) -> Clicked:
    """Press when it is time, whether or not earlier presses were answered.

    With a ledger every answer is read and held to the vote's state; without, only timed.
    """
    clicked = Clicked(began=time.monotonic())
    async with asyncio.TaskGroup() as reading:
        for planned in clicks:
            wait_s = clicked.began + planned.at_s - time.monotonic()
            clicked.behind_s = max(clicked.behind_s, -wait_s)
            if wait_s > 0:
                await asyncio.sleep(wait_s)

            key = (planned.vote.image_id, planned.voter_id)
            before = None if ledger is None else ledger.press(key, planned.vote.rating)
            press = await stub.press(planned.voter_id, planned.message, str(planned.vote))
            clicked.presses.append(press)
            if ledger is not None and before is not None:
                reading.create_task(_read(press, planned, ledger, before))

        clicked.ended = time.monotonic()

    if ledger is None:
        await asyncio.sleep(ACKNOWLEDGE_WITHIN_S)

    return clicked


async def _read(press: Interaction, planned: Click, ledger: Ledger, before: Any) -> None:
    async with asyncio.timeout(60):
        reply = await press.answered

    ledger.answer(
        (planned.vote.image_id, planned.voter_id),
        planned.vote.rating,
        reply.content,
        slot=planned.slot,
        before=before,
    )


def stalls(path: Path, *, began: float, ended: float) -> dict[str, Any]:
    """The loop's stalls between two moments; with and without the wait for a processor."""
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    seen = [
        (late, waited)
        for at, late, waited in (map(float, line.split()) for line in lines)
        if began <= at <= ended + 1
    ]

    return {
        "max_ms": round(1000 * max((late for late, _ in seen), default=0), 1),
        "max_ms_less_waiting_for_a_core": round(
            1000 * max((late - waited for late, waited in seen), default=0), 1
        ),
        "over_50_ms": sum(late > 0.050 for late, _ in seen),
        "over_10_ms": len(seen),
    }

"""Members who ask for images and vote on them, as fast as they may, through kills and restarts."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from bot.chat.custom_ids import NotOurs, UndoId, VoteId
from tests.support.discord.channel import Disconnected
from tests.support.discord.payloads import Message
from tests.support.discord.stub import DiscordStub
from tests.support.storage.vote_ledger import Key, Ledger, Press, Undo

FIRST_MEMBER = 2_000_000_000_000_000_000
UNANSWERED_AFTER_S = 20.0


class Crowd:
    """Voters and askers on one stub; the ledger has what each was told."""

    def __init__(self, stub: DiscordStub, ledger: Ledger, randomness: random.Random) -> None:
        self._stub = stub
        self._ledger = ledger
        self._random = randomness
        self._ballots: dict[Key, Message] = {}
        self.counts: Counter[str] = Counter()

    @classmethod
    @asynccontextmanager
    async def at_work(
        cls,
        stub: DiscordStub,
        ledger: Ledger,
        *,
        randomness: random.Random,
        voters: int = 20,
        askers: int = 3,
        pause_s: float = 0.5,
    ) -> AsyncIterator[Self]:
        """All of them busy while the context lasts."""
        crowd = cls(stub, ledger, randomness)
        async with asyncio.TaskGroup() as tasks:
            busy = [
                tasks.create_task(crowd._vote_for_ever(FIRST_MEMBER + n, pause_s))
                for n in range(voters)
            ]
            busy += [
                tasks.create_task(crowd._ask_for_ever(FIRST_MEMBER + n, pause_s))
                for n in range(askers)
            ]
            try:
                yield crowd
            finally:
                for task in busy:
                    task.cancel()

    async def _vote_for_ever(self, member: int, pause_s: float) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0, 2 * pause_s))
            await self._stub.connected.wait()
            if self._stub.messages:
                await self._vote(member)

    async def _ask_for_ever(self, member: int, pause_s: float) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0, 10 * pause_s))
            await self._stub.connected.wait()
            try:
                request = await self._stub.command(member, "imagine", prompt=f"=a fox, {member}")
                self.counts["asked"] += 1
                async with asyncio.timeout(UNANSWERED_AFTER_S):
                    await request.posted
            except Disconnected:
                self.counts["asked, then killed"] += 1
            except TimeoutError:
                self.counts["asked, never posted"] += 1
            else:
                self.counts["posted"] += 1

    async def _vote(self, member: int) -> None:
        messages = list(self._stub.messages.values())
        recent = messages[-40:] if self._random.random() < 0.9 else messages
        message = self._random.choice(recent)
        ids = [vote for vote in map(_vote_id, message.buttons) if vote is not None]
        if not ids:
            return

        pressed = self._random.choice(ids)
        key = (pressed.image_id, member)
        ballot = self._ballots.get(key)
        undo = None if ballot is None else _undo_id(ballot, pressed.image_id)
        if ballot is not None and undo is not None and self._random.random() < 0.3:
            await self._press(key, Undo(undo.rating), ballot, str(undo), _slot(ids, pressed))
        else:
            await self._press(key, pressed.rating, message, str(pressed), _slot(ids, pressed))

    async def _press(self, key: Key, press: Press, on: Message, custom_id: str, slot: int) -> None:
        before = self._ledger.press(key, press)
        try:
            pressed = await self._stub.press(key[1], on, custom_id)
            async with asyncio.timeout(UNANSWERED_AFTER_S):
                reply = await pressed.answered
        except Disconnected:
            self.counts["votes in flight at a kill"] += 1
            return
        except TimeoutError:
            self._ledger.problems.append(f"{key}: {custom_id} was never answered")
            return

        self._ledger.answer(key, press, reply.content, slot=slot, before=before)
        self._ballots[key] = reply


def _vote_id(custom_id: str) -> VoteId | None:
    try:
        return VoteId.parse(custom_id)
    except NotOurs:
        return None


def _undo_id(ballot: Message, image_id: str) -> UndoId | None:
    """The ballot's button that takes the vote on the image back, if it has one."""
    for custom_id in ballot.buttons:
        if UndoId.PATTERN.fullmatch(custom_id):
            undo = UndoId.parse(custom_id)
            if undo.image_id == image_id:
                return undo

    return None


def _slot(ids: list[VoteId], pressed: VoteId) -> int:
    """Images are numbered from 1 in the order of their buttons."""
    return list(dict.fromkeys(vote.image_id for vote in ids)).index(pressed.image_id) + 1

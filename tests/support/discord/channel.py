"""What the stand-in for Discord remembers: messages, files, and what members wait for."""

import asyncio
import hashlib
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.support.discord import payloads as payloads
from tests.support.discord.payloads import Message, Payload

DISCORD_EPOCH_MS = 1_420_070_400_000


class Disconnected(Exception):  # a state of the line, like asyncio's QueueEmpty
    """The program's gateway connection ended before it answered."""


@dataclass(slots=True, eq=False)
class Interaction:
    """Something a member did, and what came back. The futures raise Disconnected."""

    id: int
    token: str
    user_id: int
    sent_at: float
    acknowledged: asyncio.Future[float]  # when the callback arrived, in time.monotonic()
    answered: asyncio.Future[Message]  # the first message with something to read
    posted: asyncio.Future[Message]  # a message with attachments
    source: Message | None = None  # the message whose button was pressed
    custom_id: str = ""  # of that button
    original: Message | None = None
    followups: dict[int, Message] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the press to its acknowledgement."""
        return self.acknowledged.result() - self.sent_at

    def futures(self) -> tuple[asyncio.Future[Any], ...]:
        """All that may still be waited for."""
        return (self.acknowledged, self.answered, self.posted)


class DiscordWorld:
    """One channel's memory.

    Public messages stay in `messages` for ever; `sha256` has the hash of every file that was ever
    attached, by its name; `unknown` lists requests that got no answer, and `late` counts
    acknowledgements that came too late to be taken. `faults` are what happens to the next uploads.
    """

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.sha256: dict[str, str] = {}
        self.interactions: dict[str, Interaction] = {}
        self.commands: dict[str | None, list[Payload]] = {}
        self.unknown: list[str] = []
        self.late = 0
        self.faults: deque[Any] = deque()
        self._open: dict[str, Interaction] = {}
        self._counter = itertools.count()

    def begin(self, user_id: int, source: Message | None, custom_id: str = "") -> Interaction:
        """A member has just done something."""
        loop = asyncio.get_running_loop()
        interaction = Interaction(
            id=self._snowflake(),
            token=f"token-{next(self._counter)}",
            user_id=user_id,
            sent_at=time.monotonic(),
            acknowledged=loop.create_future(),
            answered=loop.create_future(),
            posted=loop.create_future(),
            source=source,
            custom_id=custom_id,
        )
        self.interactions[interaction.token] = interaction
        self._open[interaction.token] = interaction

        return interaction

    def give_up(self) -> None:
        """The program is gone: nothing that is waited for will come."""
        for interaction in self._open.values():
            for future in interaction.futures():
                if not future.done():
                    future.set_exception(Disconnected())
                    future.exception()  # seen: nobody has to wait for it

        self._open.clear()

    def new_message(self, data: Payload, files: dict[str, bytes]) -> Message:
        """A message with these things on it; in the channel unless only one member sees it."""
        message = Message(self._snowflake())
        self.change(message, data, files)
        if not message.flags & payloads.EPHEMERAL:
            self.messages[message.id] = message

        return message

    def change(self, message: Message, data: Payload, files: dict[str, bytes]) -> None:
        """Edit: what is not named stays, and attachments that are left out of the list go."""
        message.content = data.get("content", message.content) or ""
        message.flags = data.get("flags", message.flags)
        if "attachments" in data:
            kept = {attachment["id"]: attachment for attachment in message.attachments}
            message.attachments = [
                kept.get(str(given["id"])) or self._attached(given, files)
                for given in data["attachments"]
            ]

        if "components" in data:
            message.components = payloads.as_kept(data["components"], message.attachments)

    def tell(self, interaction: Interaction, message: Message) -> None:
        """The member sees the message as it is now."""
        if not interaction.answered.done():
            interaction.answered.set_result(message)

        if message.attachments and not interaction.posted.done():
            interaction.posted.set_result(message)

        if interaction.source is not None or interaction.posted.done():
            self._open.pop(interaction.token, None)

    def tell_owner(self, editing: Interaction, message: Message) -> None:
        """A private message is different now. If it shows the vote that a press of its member was
        for, that press is answered too: votes end in image and rating, and so do a ballot's ids."""
        self.tell(editing, message)
        for press in list(self._open.values()):
            vote = press.custom_id.partition(":vote:")[2]
            shows_it = vote and any(custom_id.endswith(vote) for custom_id in message.buttons)
            if shows_it and press.user_id == editing.user_id:
                self.tell(press, message)

    def _attached(self, given: Payload, files: dict[str, bytes]) -> Payload:
        content = files[f"files[{given['id']}]"]
        self.sha256[given["filename"]] = hashlib.sha256(content).hexdigest()

        return payloads.attachment(
            attachment_id=self._snowflake(),
            filename=given["filename"],
            size_bytes=len(content),
            alt=given.get("description"),
        )

    def _snowflake(self) -> int:
        """An id with the time in it, as Discord's: clients read an interaction's age there."""
        now_ms = int(time.time() * 1000) - DISCORD_EPOCH_MS

        return now_ms << 22 | next(self._counter) & 0x3FFFFF

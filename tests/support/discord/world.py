"""A simulated Discord with the real bot in it: discord.py, the executor and the journal are real.

The dataset is in memory and the worker a thread, unless a test asks for what is Real.

Tests act as members would (ask, press, look) and look at the dataset. A world is entered inside
the test itself, because simcord's clock belongs to the task that runs the test.
"""

import asyncio
import csv
import enum
import io
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import discord
import discord.ext.commands  # simcord would import it while the loop runs
import simcord
from simcord import InteractionResult, interactions
from simcord.backend import serializers
from simcord.enums import ComponentType, InteractionType
from simcord.results import ResponseMessage

from bot.app import Parts, arenas_kept, following, opened
from bot.chat.client import OxherdClient
from bot.chat.custom_ids import SetId, UndoId, VoteId
from bot.settings import Settings
from generation.queue.status import WorkerState
from storage.acts import ActKind, Order, ServerRules
from storage.dataset.memory import MemoryRepository
from storage.vote import Rating
from tests.support.generation.inline_worker import inline_workers

PATIENCE_S = 600.0  # only a limit: beside a load of 8, a worker takes minutes to load torch
SETTLES_WITHIN_S = 60.0  # the simulated Discord waits for every timer that is due within it


def quick_settings(data: Path, **changes: Any) -> Settings:
    """A bot that draws at once, with small pictures."""
    return Settings.model_validate(
        {
            "data": data,
            "backend": "placeholder",
            "devices": "cpu",
            "placeholder_step_seconds": 0,
            "default_steps": 2,
            "sizes": "64x64,128x64",
            "shutdown_grace_s": 0,
            "max_requests_per_minute": 10_000,
            **changes,
        }
    )


class Real(enum.Flag):
    """What of a world is as users have it, and takes seconds to start."""

    NEITHER = 0
    OXEN = enum.auto()
    """A repository in the data folder, with a writer process."""
    WORKER_PROCESS = enum.auto()


class World:
    """One server, one channel, and two members, alice and bob, to begin with.

    repository: the dataset; None for an Oxen repository in the data folder.
    """

    def __init__(
        self, env: simcord.Env, settings: Settings, repository: MemoryRepository | None
    ) -> None:
        self.env = env
        self.settings = settings
        self.repository = repository
        self.guild = env.create_guild("oxherd's test server")
        self.channel = self.guild.create_text_channel("labelling")
        self.alice = self.member("alice")
        self.bob = self.member("bob")
        self.parts: Parts
        self.client: OxherdClient
        self._life = AsyncExitStack()
        self._locales: dict[int, str] = {}
        self._emit = env.backend.emit
        env.backend.emit = self._emit_with_languages  # type: ignore[method-assign]

    def speaks(self, member: Any, locale: str) -> None:
        """What the member has set in their Discord client from now on; English before."""
        self._locales[member.id] = locale

    def server_speaks(self, locale: str) -> None:
        """What the server has set as its language from now on; English before."""
        backend = self.env.backend
        backend.get_guild(self.guild.id).preferred_locale = locale
        payload = serializers.guild_create_payload(backend, backend.get_guild(self.guild.id))
        backend.emit("GUILD_UPDATE", payload)

    def _emit_with_languages(self, event: str, payload: Any) -> None:
        """The simulated Discord sends each interaction as if everybody spoke English."""
        if event == "INTERACTION_CREATE":
            person = payload.get("member", payload)["user"]
            payload["locale"] = self._locales.get(int(person["id"]), "en-US")

        self._emit(event, payload)

    def member(self, name: str, **permissions: bool) -> Any:
        """Somebody new in the server, who may also do what is named, as in discord.Permissions."""
        roles = (
            [self.guild.create_role(name, permissions=discord.Permissions(**permissions))]
            if permissions
            else []
        )

        return self.guild.add_member(self.env.create_user(name), roles=roles)

    def moderator(self) -> Any:
        """Somebody who may manage the server and its messages."""
        return self.member("moderator", manage_guild=True, manage_messages=True)

    async def begin(self) -> None:
        """Start the bot on the world's folder."""
        self.parts = await self._life.enter_async_context(
            opened(self.settings, repository=self.repository)
        )
        self.client = OxherdClient(
            self.settings, store=self.parts.store, requests=self.parts.requests, shard_count=1
        )
        await self._life.enter_async_context(following(self.parts.requests))
        await self.env.restart_bot(self.client)
        await self._life.enter_async_context(arenas_kept(self.parts, self.client))
        # In all of Discord's languages, it would take longer than anything else of a world.
        await self.client.tree.set_translator(None)
        await self.client.tree.sync()
        await self.until(lambda: self.worker_state() in (WorkerState.IDLE, WorkerState.BUSY))

    async def any_pace(self) -> None:
        """Let votes count however fast they come: in tests, nobody looks at the images."""
        order = Order(guild_id=self.guild.id, moderator_id=None)
        rules = ServerRules(rate_seconds=0)
        await self.parts.store.moderation.set_rules(ActKind.LIMIT, rules, order)

    def worker_state(self) -> WorkerState:
        """What the one worker does."""
        return self.parts.executor.status().workers[0].state

    def kill_worker(self) -> None:
        """What a driver's crash or a lack of memory does."""
        pid = self.parts.executor.status().workers[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    async def end(self) -> None:
        """Stop the bot at once, whatever it was doing; Discord and the folder stay."""
        await self._life.aclose()

    async def restart(self) -> None:
        """What a moderator does: stop, start. Messages and buttons are Discord's and stay."""
        await self.end()
        await self.begin()

    async def ask(self, member: Any, prompt: str, **options: Any) -> InteractionResult:
        """/imagine, and nothing more: the answer that comes at once."""
        result: InteractionResult = await member.slash(
            self.channel, "imagine", prompt=prompt, **options
        )

        return result

    async def imagine(self, member: Any, prompt: str, **options: Any) -> discord.Message:
        """/imagine, and the message with the images."""
        await self.ask(member, prompt, **options)
        await self.posted()

        return self.last_message()

    async def posted(self) -> None:
        """Wait until no request is followed any more."""
        async with asyncio.timeout(PATIENCE_S):
            await self.parts.requests.finish()

    def last_message(self) -> discord.Message:
        """The newest message in the channel."""
        message = self.channel.last_message
        assert message is not None

        return message

    async def vote(
        self, member: Any, message: discord.Message, slot: int, rating: Rating
    ) -> discord.Message:
        """Press 👍 or 👎 for an image; what the member reads then."""
        await member.click(message, custom_id=vote_ids(message)[slot, rating])

        return self.private(member)[-1]

    def private(self, member: Any) -> list[discord.Message]:
        """The messages that only this member sees, oldest first."""
        stored = self.env.backend.messages.get(self.channel.id, {}).values()

        return [
            ResponseMessage(self.env, message).message
            for message in stored
            if message.is_ephemeral and message.visible_to(member.id)
        ]

    async def press(
        self, member: Any, message: discord.Message, custom_id: str
    ) -> InteractionResult:
        """One press as Discord delivers it, whether or not the message has such a button."""
        [result] = await self.press_all([(member, message, custom_id)])

        return result

    async def press_all(
        self, presses: Sequence[tuple[Any, discord.Message, str]]
    ) -> list[InteractionResult]:
        """Presses that arrive at the same moment; actors would take turns."""
        records = []
        for member, message, custom_id in presses:
            stored = self.env.backend.get_message(message.channel.id, message.id)
            record, payload = interactions.base_payload(
                self.env.backend,
                type=InteractionType.MESSAGE_COMPONENT,
                channel_id=message.channel.id,
                guild_id=self.guild.id,
                user_id=member.id,
                data={"custom_id": custom_id, "component_type": ComponentType.BUTTON},
            )
            payload["message"] = dict(serializers.message_payload(self.env.backend, stored))
            record.source_message_id = stored.id
            self.env.backend.emit("INTERACTION_CREATE", payload)
            records.append(record)
            await asyncio.sleep(0)  # the gateway delivers one event at a time too

        await self.env.settle()

        return [InteractionResult(self.env, record) for record in records]

    async def hide_channel(self) -> None:
        """Take the channel out of the bot's sight, as Discord does when a permission goes."""
        backend = self.env.backend
        channel = backend.get_channel(self.channel.id)
        backend.emit("CHANNEL_DELETE", dict(serializers.channel_payload(backend, channel)))
        await self.env.settle()

    async def restrict_age(self) -> None:
        """Restrict the channel by age; the simulated Discord forgets it when the bot restarts."""
        backend = self.env.backend
        channel = backend.get_channel(self.channel.id)
        payload = {**serializers.channel_payload(backend, channel), "nsfw": True}
        backend.emit("CHANNEL_UPDATE", payload)
        await self.env.settle()

    async def committed(self) -> None:
        """Wait until everything that was recorded is in the dataset."""
        await self.parts.store.settle(PATIENCE_S)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the bot does by itself."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - the simulated Discord has no events
                await asyncio.sleep(0.01)

    def rows(self) -> list[dict[str, str]]:
        """The dataset's votes, as a trainer would read them."""
        return self._rows("train")

    def generations(self) -> list[dict[str, str]]:
        """The dataset's images, voted on or not."""
        return self._rows("generations")

    def pictures(self) -> dict[str, bytes]:
        """The dataset's PNG files by path."""
        if self.repository is None:
            dataset = self.settings.data / "dataset"
            return {
                path.relative_to(dataset).as_posix(): path.read_bytes()
                for path in (dataset / "images").rglob("*.png")
            }

        return {path: file for path, file in self.repository.files.items() if path[-4:] == ".png"}

    def judgements(self) -> list[dict[str, str]]:
        """The dataset's votes on pairs of arenas."""
        return self._rows("arena")

    def _rows(self, kind: str) -> list[dict[str, str]]:
        if self.repository is None:
            return dataset_rows(self.settings.data, kind)

        shards = sorted(path for path in self.repository.files if path.startswith(f"{kind}/"))

        return [row for shard in shards for row in _parsed(self.repository.files[shard])]

    def ratings(self) -> dict[tuple[str, str], str]:
        """The dataset's votes by image and voter. Two rows for one key are a failure."""
        rows = self.rows()
        found = {(row["image_id"], row["voter_id"]): row["rating"] for row in rows}
        assert len(found) == len(rows), "a vote stands twice in the dataset"

        return found


def dataset_rows(data: Path, kind: str) -> list[dict[str, str]]:
    """All rows of train/ or generations/ of a dataset on disk, in order."""
    shards = sorted((data / "dataset" / kind).rglob("*.csv"))

    return [row for shard in shards for row in _parsed(shard.read_bytes())]


def _parsed(shard: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(shard.decode(), newline="")))


def buttons(message: Any) -> list[str]:
    """Custom ids of all buttons of a message, in reading order."""
    found: list[str] = []

    def walk(component: Any) -> None:
        custom_id = getattr(component, "custom_id", None)
        if custom_id:
            found.append(custom_id)

        for child in getattr(component, "children", []) or []:
            walk(child)

    for component in message.components:
        walk(component)

    return found


def vote_ids(message: discord.Message) -> dict[tuple[int, Rating], str]:
    """The vote buttons by slot and rating, read off the message as a person would."""
    votes = [
        VoteId.parse(custom) for custom in buttons(message) if VoteId.PATTERN.fullmatch(custom)
    ]
    order = list(dict.fromkeys(vote.image_id for vote in votes))

    return {(order.index(vote.image_id) + 1, vote.rating): str(vote) for vote in votes}


def set_button(message: discord.Message, action: str) -> str:
    """The custom id of Again, Details or Cancel."""
    return next(
        custom
        for custom in buttons(message)
        if SetId.PATTERN.fullmatch(custom) and SetId.parse(custom).action == action
    )


def image_ids(message: discord.Message) -> list[str]:
    """The images' ids in slot order."""
    ids = vote_ids(message)

    return [VoteId.parse(ids[slot, Rating.GOOD]).image_id for slot, r in ids if r is Rating.GOOD]


def undo_id(image_id: str, rating: Rating) -> str:
    """The custom id of the Undo button that a ballot has for this vote."""
    return str(UndoId(image_id, rating))


def seen(result: InteractionResult) -> ResponseMessage:
    """The answer to an interaction, as it is now."""
    assert result.response is not None

    return result.response


def chosen_in(form: InteractionResult) -> dict[str, Any]:
    """What a form that opened has in its fields: the text, or the ids that are chosen."""
    assert form.modal is not None
    fields = [label["component"] for label in form.modal["components"]]

    return {
        field["custom_id"]: field.get("value", "")
        if "value" in field or "default_values" not in field
        else [chosen["id"] for chosen in field["default_values"]]
        for field in fields
    }


def offered_on(ballot: discord.Message) -> dict[str, bool]:
    """The reasons that a ballot offers, and which are picked."""
    menus = [
        part
        for row in ballot.components
        if isinstance(row, discord.ActionRow)
        for part in row.children
        if isinstance(part, discord.SelectMenu)
    ]

    return {option.label: option.default for menu in menus for option in menu.options}


def text_of(message: Any) -> str:
    """Everything a person can read in a message."""
    found: list[str] = [message.content]

    def walk(component: Any) -> None:
        if isinstance(getattr(component, "content", None), str):
            found.append(component.content)

        for child in getattr(component, "children", []) or []:
            walk(child)

    for component in message.components:
        walk(component)

    return "\n".join(part for part in found if part)


@asynccontextmanager
async def world(data: Path, real: Real = Real.NEITHER, /, **changes: Any) -> AsyncIterator[World]:
    """A world with the bot running in it. Errors that the bot let through fail the test."""
    repository = None if Real.OXEN in real else MemoryRepository()
    nobody = discord.AutoShardedClient(intents=discord.Intents(guilds=True), shard_count=1)
    workers = nullcontext() if Real.WORKER_PROCESS in real else inline_workers()
    async with simcord.run(nobody, settle_timeout=SETTLES_WITHIN_S) as env:
        with workers, env.time_context():
            made = World(env, quick_settings(data, **changes), repository)
            try:
                await made.begin()
                yield made
            finally:
                await made.end()

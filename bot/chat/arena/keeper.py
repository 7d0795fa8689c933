"""Keeps the arenas going: makes their images, posts pairs and results, closes what is complete.

Everything that is to be done follows from the journal, so after a kill it goes on. There is one
image at a time in the queue, as if the arenas were one more member: members wait for one at most.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import discord

from bot.chat.admission.gate import Gate
from bot.chat.arena import sentences, views
from bot.chat.arena.pictures import pictures_of
from bot.chat.following import new_images
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN
from bot.prompts.door import Door
from bot.prompts.refusals import Refused
from generation.errors import BackendUnavailable, Closing, GenerationError
from generation.queue.executor import Executor
from generation.request import ImageRequest
from storage.acts import Order
from storage.errors import RequestForgotten, StorageError, StoreClosing
from storage.journal.arena.arenas import MOST_TRIES
from storage.journal.arena.values import Arena, ArenaState, Example, Pair, Side
from storage.store import VoteStore

log = logging.getLogger(__name__)

OWNER = 0
"""Whose the images are in the queue: nobody's id."""

_EXAMPLES = 3
_AGAIN_AFTER_S = 60.0
_LOOK_EVERY_S = 3600.0  # for a post that waited long enough


@asynccontextmanager
async def keeping(
    store: VoteStore, executor: Executor, door: Door, gate: Gate, client: discord.Client
) -> AsyncIterator[None]:
    """Keep them going while the context lasts."""
    keeper = _Keeper(store, executor, door, gate, client)
    task = asyncio.create_task(keeper.run(), name="arenas")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Keeper:
    def __init__(
        self, store: VoteStore, executor: Executor, door: Door, gate: Gate, client: discord.Client
    ) -> None:
        self._store = store
        self._arenas = store.arenas
        self._executor = executor
        self._door = door
        self._gate = gate
        self._client = client

    async def run(self) -> None:
        """Do what there is to do at each change, until cancelled."""
        await self._client.wait_until_ready()
        making: asyncio.Task[None] | None = None
        try:
            while True:
                self._arenas.changed.clear()
                if making is None or making.done():
                    making = asyncio.create_task(self._make_next(), name="arena image")

                pause_s = _LOOK_EVERY_S if await self._tend() else _AGAIN_AFTER_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._arenas.changed.wait()
        finally:
            if making is not None:
                making.cancel()
                await asyncio.gather(making, return_exceptions=True)

    # Making

    async def _make_next(self) -> None:
        """Make one image, if there is one to make. What goes wrong is tried again."""
        try:
            side = await self._arenas.next_side(self._door.limits.models)
            if side is None:
                return

            made = await self._make(side)
        except (Closing, StoreClosing):
            return
        except StorageError as exc:
            log.warning("%s", exc)
            made = False
        except Exception:
            log.exception("unexpected; trying again in %g s", _AGAIN_AFTER_S)
            made = False

        if not made:
            await asyncio.sleep(_AGAIN_AFTER_S)

        self._arenas.changed.set()

    async def _make(self, side: Side) -> bool:
        """Make it, or leave its pair out; false if that can only be tried again later."""
        request = ImageRequest.from_json(side.request)
        try:
            self._door.check(request)
        except Refused as exc:
            log.info("a pair is left out: %s", exc)
            await self._arenas.leave_out(side.set_id)
            return True

        if side.tries >= MOST_TRIES:
            log.warning("a pair is left out: an image failed %d times", side.tries)
            await self._arenas.leave_out(side.set_id)
            return True

        await self._store.count_try(side.set_id, by=1)
        try:
            job = self._executor.submit(request, owner=OWNER, accepted_before=True)
            result = await job.result()
        except Closing:
            await self._store.count_try(side.set_id, by=-1)
            raise
        except BackendUnavailable as exc:
            log.warning("an image of an arena cannot be made now: %s", exc)
            await self._store.count_try(side.set_id, by=-1)
            return False
        except GenerationError as exc:
            log.warning("an image of an arena failed: %s", exc)
            return True

        # One image as a spoiler would tell something of its model.
        if any(image.withheld is not None or image.doubtful for image in result.images):
            await self._arenas.leave_out(side.set_id)
            return True

        with suppress(RequestForgotten):
            await self._store.add_images(
                side.set_id,
                new_images(result.images),
                provenance=result.provenance.to_json(),
                request=result.request.to_json(),
            )

        return True

    # Posting and closing

    async def _tend(self) -> bool:
        """Post and close what is due; false if something is to be tried again."""
        well = True
        try:
            states = await self._arenas.unfinished()
        except StorageError as exc:
            log.warning("%s", exc)
            return False

        for state in states:
            arena = state.arena
            if not self._gate.serves(arena.guild_id, among=self._client.guilds):
                continue

            try:
                with speaking(server_locale(self._client, arena.guild_id)):
                    await self._tend_to(state)
            except (*NOT_TAKEN, StorageError) as exc:
                log.warning("arena %s: %s", arena.arena_id, exc)
                well = False
            except Exception:
                log.exception("arena %s: unexpected", arena.arena_id)
                well = False

        return well

    async def _tend_to(self, state: ArenaState) -> None:
        arena = state.arena
        if arena.closed_at is not None:
            await self._post_result(state)
        elif state.is_complete:
            by_itself = Order(guild_id=arena.guild_id, moderator_id=None)
            await self._arenas.close(arena, by_itself, stopped=False)
        elif (pair := await self._arenas.to_post(arena)) is not None:
            await self._post(arena, pair)

    async def _post(self, arena: Arena, pair: Pair) -> None:
        pictures = await pictures_of(self._store, pair)
        if pictures is None:
            log.warning("pair %s is left out: its images are not on this host", pair.pair_id)
            await self._arenas.leave_out(pair.pair_id)
            return

        # After a kill before this is noted, Discord makes no second message for some minutes.
        message = await self._channel(arena).send(
            view=views.post(pair),
            files=views.files(pictures),
            nonce=pair.pair_id,
            allowed_mentions=NO_MENTIONS,
        )
        await self._arenas.note_post(pair.pair_id, message_id=message.id)

    async def _post_result(self, state: ArenaState) -> None:
        arena = state.arena
        outcome = await self._arenas.outcome(arena)
        examples: list[Example] = []
        files: list[discord.File] = []
        for example in await self._arenas.examples(arena, limit=_EXAMPLES):
            pictures = await pictures_of(self._store, example.pair)
            if pictures is not None:
                examples.append(example)
                files += views.files(pictures)

        try:
            message = await self._channel(arena).send(
                view=views.result(sentences.result(outcome, state), examples),
                files=files,
                nonce=arena.arena_id,
                allowed_mentions=NO_MENTIONS,
            )
        except discord.NotFound:
            log.warning(
                "arena %s: its channel is gone, so its result is not posted", arena.arena_id
            )
            await self._arenas.note_result(arena, message_id=0)
        else:
            await self._arenas.note_result(arena, message_id=message.id)

    def _channel(self, arena: Arena) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(arena.channel_id, guild_id=arena.guild_id)

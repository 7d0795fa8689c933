"""Accepts requests, cancels them, and takes them up again after a restart."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import discord
import shortuuid
from discord import ui

from bot.chat import texts, views
from bot.chat.admission.gate import Barred, Gate, NoticeDue
from bot.chat.arena.plan import asked
from bot.chat.context import Interaction
from bot.chat.following import Follower
from bot.chat.jobs import Jobs
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.messages import Place
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN, in_time, say_privately, tolerated
from bot.chat.views import AcceptedRequest
from bot.prompts.door import Door
from bot.prompts.refusals import ParentGone, Refused
from generation.errors import GenerationError
from generation.queue.executor import Executor
from generation.queue.job import Job
from generation.request import ImageRequest
from storage.errors import RepositoryError, StorageError
from storage.store import VoteStore
from storage.vote import NewSet, SetState, StoredSet

log = logging.getLogger(__name__)

# A request that was being made each time when so many runs of the bot were killed may be what kills
# them.
MOST_TRIES = 3


# A connected client does. One that is not goes on without, in English.
_KNOWS_SERVERS_WITHIN_S = 10.0


class Requests:
    """All requests, from the click to the posted images.

    A request is in the journal before it is acknowledged, and stays there until its images are
    posted or its message says why there are none. One that was waiting or running when the bot
    stopped is made after the restart.

    Requests are followed by tasks that `run` owns; when `run` is cancelled, they are too.
    """

    def __init__(self, *, store: VoteStore, executor: Executor, door: Door, gate: Gate) -> None:
        self.door = door
        self.gate = gate
        self._store = store
        self._executor = executor
        self.jobs = Jobs()
        self._starting: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
        self._unfinished: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Own the followers, until cancelled."""
        try:
            async with asyncio.TaskGroup() as followers:
                while True:
                    followers.create_task(await self._starting.get())
        finally:
            while not self._starting.empty():
                self._starting.get_nowait().close()

    async def finish(self) -> None:
        """Wait until no request is being followed."""
        await self._idle.wait()

    async def resume(self, client: discord.Client) -> None:
        """Take up what the last run accepted and did not finish, in the same order."""
        for stored in await self._store.unfinished_sets():
            await self._resume(client, stored)

    async def imagine(self, interaction: Interaction, request: ImageRequest) -> None:
        """Queue the request, show it, and follow it.

        Raises Barred, NoticeDue, ParentGone or GenerationError if it is refused, StorageError if it
        cannot be recorded, and discord.NotFound if it is too late to answer.
        """
        if not interaction.app_permissions.attach_files:
            raise Barred(texts.no_attachments())

        guild_id = interaction.guild_id
        waiting = 0 if guild_id is None else len(self.jobs.of_server(guild_id))
        try:
            await in_time(
                interaction,
                self.gate.admit_request(interaction, waiting=waiting),
                public=True,
            )
        except NoticeDue as exc:
            exc.request = request
            raise

        accepted = AcceptedRequest(
            set_id=shortuuid.uuid(), requester_id=interaction.user.id, request=request
        )
        parent = await in_time(interaction, self._parent(request, guild_id), public=True)
        job = self._executor.submit(
            request, owner=accepted.requester_id, group=guild_id, parent=parent
        )
        self._begin(accepted.set_id, job)
        try:
            await in_time(
                interaction, self._store.add_request(_new_set(interaction, accepted)), public=True
            )
            message_id = await _acknowledged(interaction, accepted, job)
        except BaseException as exc:
            self._forget(accepted.set_id)
            if isinstance(exc, discord.NotFound):
                await self._store.set_state(accepted.set_id, SetState.CANCELLED)

            raise

        place = Place(
            interaction.client,
            set_id=accepted.set_id,
            interaction_id=interaction.id,
            channel_id=interaction.channel_id or 0,
            guild_id=interaction.guild_id,
            message_id=message_id,
            interaction=interaction,
        )
        self._follow(place, accepted.set_id, self._follower(accepted, place).make(job))
        if request.variation is None:
            await self._offer_to_arena(interaction, request)

    async def _offer_to_arena(self, interaction: Interaction, request: ImageRequest) -> None:
        """The channel's arena may take the prompt too. The request does not depend on that."""
        plan = partial(
            asked,
            request=request,
            as_asked_of=self.door.limits.as_asked_of,
            asker_id=interaction.user.id,
        )
        try:
            await self._store.arenas.ask(interaction.guild_id, interaction.channel_id or 0, plan)
        except StorageError as exc:
            log.warning("the channel's arena did not get a prompt: %s", exc)

    async def again(self, interaction: Interaction, set_id: str) -> None:
        """Queue the same request with new seeds, for the member who pressed. Raises Refused."""
        stored = await self._find(interaction, set_id)
        if stored is None:
            await say_privately(interaction, texts.unknown_set())
            return

        request = self.door.admit_again(ImageRequest.from_json(stored.request))
        await self.imagine(interaction, request)

    async def details(self, interaction: Interaction, set_id: str) -> None:
        """Tell the member who pressed what the images were made from."""
        stored = await in_time(interaction, self._find(interaction, set_id))
        await say_privately(
            interaction, texts.unknown_set() if stored is None else texts.details(stored)
        )

    async def cancel(self, interaction: Interaction, set_id: str) -> None:
        """Cancel a waiting or running request, if the member who pressed asked for it."""
        job = self.jobs.find(set_id)
        if job is None:
            await self._mend(interaction, set_id)
        elif job.owner != interaction.user.id:
            await say_privately(interaction, texts.not_yours())
        else:
            job.cancel()
            with tolerated(interaction, doing="acknowledging a cancel"):
                await interaction.response.defer()

    async def _find(self, interaction: Interaction, set_id: str) -> StoredSet | None:
        """The set, unless it is one of a different server: then it is unknown here."""
        return await self._store.find_set(set_id, guild_id=interaction.guild_id)

    async def _parent(self, request: ImageRequest, guild_id: int | None) -> bytes | None:
        """The image that the request varies, as a PNG file, if it does. Raises ParentGone."""
        if request.variation is None:
            return None

        parent_id = request.variation.parent_id
        stored = await self._store.find_set(parent_id, guild_id=guild_id)
        images = () if stored is None else stored.images
        if not any(image.is_shown and image.image_id == parent_id for image in images):
            raise ParentGone(parent_id)

        try:
            png = await self._store.image(parent_id)
        except RepositoryError as exc:
            log.warning("image %s cannot be read: %s", parent_id, exc)
            png = None

        if png is None:
            raise ParentGone(parent_id)

        return png

    async def _mend(self, interaction: Interaction, set_id: str) -> None:
        """Show what became of a request whose message still offers to cancel it."""
        stored = await self._find(interaction, set_id)
        with speaking(server_locale(interaction.client, interaction.guild_id)):
            view = _what_became(stored, interaction.message)

        if view is None:
            await say_privately(interaction, texts.not_running())
            return

        with tolerated(interaction, doing="mending a message"):
            await interaction.response.edit_message(view=view, attachments=[])

    async def _resume(self, client: discord.Client, stored: StoredSet) -> None:
        place = Place(
            client,
            set_id=stored.set_id,
            interaction_id=stored.interaction_id,
            channel_id=stored.channel_id,
            guild_id=stored.guild_id,
            message_id=stored.message_id,
        )
        accepted = AcceptedRequest.of(stored)
        follower = self._follower(accepted, place)
        job = None
        if stored.images:
            following = follower.post_made(stored)
        elif stored.tries >= MOST_TRIES:
            log.warning(
                "set %s is given up: the bot was killed %d times while it was made",
                stored.set_id,
                stored.tries,
            )
            following = follower.refuse(texts.given_up)
        else:
            try:
                self.door.check(accepted.request)
                job = self._executor.submit(
                    accepted.request,
                    owner=accepted.requester_id,
                    group=stored.guild_id,
                    parent=await self._parent(accepted.request, stored.guild_id),
                    accepted_before=True,
                )
                following = follower.make(job)
            except Refused as exc:
                following = follower.refuse(partial(texts.refused, exc))
            except GenerationError as exc:
                reference = str(stored.interaction_id)
                following = follower.refuse(partial(texts.refusal, exc, reference=reference))

        self._begin(stored.set_id, job)
        self._follow(place, stored.set_id, following, resumed_by=client)

    def _follower(self, accepted: AcceptedRequest, place: Place) -> Follower:
        return Follower(accepted, place, self._store, shows_doubtful=self.gate.shows_doubtful)

    def _begin(self, set_id: str, job: Job | None = None) -> None:
        if job is not None:
            log.info("set %s is job %d", set_id, job.id)
            self.jobs.add(set_id, job)

        self._unfinished.add(set_id)
        self._idle.clear()

    def _follow(
        self,
        place: Place,
        set_id: str,
        following: Coroutine[Any, Any, None],
        *,
        resumed_by: discord.Client | None = None,
    ) -> None:
        """resumed_by: at a start, the client, which does not know its servers' languages yet."""

        async def follow() -> None:
            try:
                if resumed_by is not None:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_KNOWS_SERVERS_WITHIN_S):
                            await resumed_by.wait_until_ready()

                with speaking(place.locale):
                    await following
            finally:
                following.close()
                self._forget(set_id)

        self._starting.put_nowait(follow())

    def _forget(self, set_id: str) -> None:
        job = self.jobs.pop(set_id)
        if job is not None:
            job.cancel()

        self._unfinished.discard(set_id)
        if not self._unfinished:
            self._idle.set()


def _what_became(stored: StoredSet | None, pressed: discord.Message | None) -> ui.LayoutView | None:
    """What a message that offers to cancel should show; None if it is right."""
    if stored is None:
        return views.forgotten()

    accepted = AcceptedRequest.of(stored)
    match stored.state:
        case SetState.CANCELLED:
            return views.ended(accepted, texts.cancelled())
        case SetState.FAILED:
            return views.ended(accepted, texts.not_made())
        case SetState.POSTED if pressed and pressed.id != stored.message_id:
            return views.elsewhere(accepted)
        case _:
            return None


async def _acknowledged(
    interaction: Interaction, accepted: AcceptedRequest, job: Job
) -> int | None:
    """Show the request; the message's id, None if it is not known whether Discord has taken it.

    Raises discord.NotFound if Discord has not.
    """
    with speaking(server_locale(interaction.client, interaction.guild_id)):
        view = views.progress(accepted, texts.progress_sentence(job.progress))

    try:
        if interaction.response.is_done():  # the disk was slow
            edited = await interaction.edit_original_response(
                view=view, allowed_mentions=NO_MENTIONS
            )
            return edited.id

        shown = await interaction.response.send_message(view=view, allowed_mentions=NO_MENTIONS)
        if shown.message_id is not None:
            return shown.message_id
    except discord.NotFound:
        raise
    except NOT_TAKEN as exc:
        log.info("interaction %d: its acknowledgement was lost: %s", interaction.id, exc)

    try:
        return (await interaction.original_response()).id
    except discord.NotFound:
        raise
    except NOT_TAKEN:
        return None


def _new_set(interaction: Interaction, accepted: AcceptedRequest) -> NewSet:
    return NewSet(
        set_id=accepted.set_id,
        requester_id=accepted.requester_id,
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id or 0,
        interaction_id=interaction.id,
        request=accepted.request.to_json(),
    )

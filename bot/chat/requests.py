"""A request's life on the Discord side: acknowledged, followed, posted or explained."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import discord
import shortuuid
from discord import ui

from bot.chat import texts, views
from bot.chat.context import Interaction
from bot.chat.messages import InteractionPlace, MessageDeleted
from bot.chat.responses import NOT_TAKEN, answered, in_time, say_privately, tolerated
from bot.prompts.door import Door
from generation.errors import Cancelled, GenerationError
from generation.queue.executor import Executor
from generation.queue.job import Job, JobProgress
from generation.request import ImageRequest, Preview, Result
from storage.errors import StorageError
from storage.store import VoteStore
from storage.vote import NewImage, NewSet, SetState

log = logging.getLogger(__name__)

# Discord limits how often one message may be edited.
PROGRESS_EVERY_S = 2.0

# Under a preview that stays, the words change only every so many looks: each change uploads the
# preview again, and whoever looks at it loads it again.
LOOKS_AT_ONE_PREVIEW = 3


class Requests:
    """Follows every request from the click to the posted images.

    Requests are followed by tasks that `run` owns; when `run` is cancelled, they are too. What is
    not promised: a request that was running when the process was killed is not made; its message
    says so after the restart, and can be asked for again with one click.
    """

    def __init__(self, *, store: VoteStore, executor: Executor, door: Door) -> None:
        self.door = door
        self._store = store
        self._executor = executor
        self._jobs: dict[str, Job] = {}
        self._starting: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
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

    async def imagine(self, interaction: Interaction, request: ImageRequest) -> None:
        """Queue the request, show it, and follow it. Raises GenerationError if it is refused."""
        if not interaction.app_permissions.attach_files:
            await say_privately(interaction, texts.NO_ATTACHMENTS)
            return

        set_id = shortuuid.uuid()
        job = self._executor.submit(request, owner=interaction.user.id)
        self._jobs[set_id] = job
        self._idle.clear()
        try:
            shown = await interaction.response.send_message(
                view=_progress(set_id, job, job.progress),
                allowed_mentions=discord.AllowedMentions.none(),
            )
            message_id = shown.message_id or (await interaction.original_response()).id
        except BaseException:
            job.cancel()
            self._forget(set_id)
            raise

        self._starting.put_nowait(
            self._follow(interaction, set_id, job, InteractionPlace(interaction, message_id))
        )

    async def again(self, interaction: Interaction, set_id: str) -> None:
        """Queue the same request with new seeds, for the member who pressed. Raises Refused."""
        stored = await self._store.find_set(set_id)
        if stored is None:
            await say_privately(interaction, texts.UNKNOWN_SET)
            return

        request = self.door.admit_again(ImageRequest.from_json(stored.request))
        await self.imagine(interaction, request)

    async def details(self, interaction: Interaction, set_id: str) -> None:
        """Tell the member who pressed what the images were made from."""
        stored = await in_time(interaction, self._store.find_set(set_id))
        await say_privately(
            interaction, texts.UNKNOWN_SET if stored is None else texts.details(stored)
        )

    async def cancel(self, interaction: Interaction, set_id: str) -> None:
        """Cancel a waiting or running request, if the member who pressed asked for it."""
        job = self._jobs.get(set_id)
        if job is None:
            await self._explain_missing_job(interaction, set_id)
        elif job.owner != interaction.user.id:
            await say_privately(interaction, texts.NOT_YOURS)
        else:
            job.cancel()
            with tolerated(interaction, doing="acknowledging a cancel"):
                await interaction.response.defer()

    async def _explain_missing_job(self, interaction: Interaction, set_id: str) -> None:
        if await self._store.find_set(set_id) is not None:
            await say_privately(interaction, texts.NOT_RUNNING)
            return

        # The process was killed after it had shown the request and before it had journalled it.
        with tolerated(interaction, doing="explaining a lost request"):
            await interaction.response.edit_message(view=views.forgotten())

    async def _follow(
        self,
        interaction: Interaction,
        set_id: str,
        job: Job,
        place: InteractionPlace,
    ) -> None:
        async with answered(interaction):
            try:
                await self._make_and_post(interaction, set_id, job, place)
            finally:
                job.cancel()
                self._forget(set_id)

    async def _make_and_post(
        self,
        interaction: Interaction,
        set_id: str,
        job: Job,
        place: InteractionPlace,
    ) -> None:
        request = job.request

        async def explain(sentence: str) -> None:
            with suppress(MessageDeleted), tolerated(interaction, doing="explaining"):
                await place.show(views.ended(set_id=set_id, request=request, sentence=sentence))

        try:
            await self._store.add_request(_new_set(interaction, set_id, request))
            await self._store.set_message(
                set_id, channel_id=interaction.channel_id or 0, message_id=place.message_id
            )
            result = await self._shown_result(set_id, job, place)
            images = _new_images(result)
            await self._store.add_images(set_id, images, provenance=result.provenance.to_json())
            unread = texts.cut_short(request, result.provenance.versions)
            message_id = await self._post(interaction, set_id, request, images, place, unread)
            await self._store.mark_posted(set_id, message_id)
            if message_id != place.message_id:
                with suppress(MessageDeleted), tolerated(interaction, doing="pointing to it"):
                    await place.show(views.elsewhere(request=request))
        except MessageDeleted:
            log.info("set %s: its message was deleted", set_id)
            await self._store.set_state(set_id, SetState.CANCELLED)
        except (GenerationError, StorageError) as exc:
            log.info("set %s: %s", set_id, exc)
            await explain(texts.refusal(exc, reference=str(interaction.id)))
            cancelled = isinstance(exc, Cancelled)
            await self._store.set_state(
                set_id, SetState.CANCELLED if cancelled else SetState.FAILED
            )
        except NOT_TAKEN as exc:
            log.error("set %s: Discord did not take the images: %s", set_id, exc)
            await explain(texts.CANNOT_POST)
            await self._store.set_state(set_id, SetState.FAILED)

    async def _post(
        self,
        interaction: Interaction,
        set_id: str,
        request: ImageRequest,
        images: Sequence[NewImage],
        place: InteractionPlace,
        unread: Sequence[str],
    ) -> int:
        """Show what is not withheld, and tell the requester alone what is; the message's id."""
        shown = [image for image in images if image.withheld is None]
        withheld = [image for image in images if image.withheld is not None]
        privately = not place.token_is_over
        if shown:
            notes = [*unread, "" if privately else texts.withheld_in_message(len(withheld))]
            note = "\n".join(filter(None, notes))
            message_id = await place.post(
                views.result(set_id=set_id, request=request, images=shown, note=note),
                views.files(shown, prompt=request.prompt),
            )
        else:
            message_id = place.message_id
            await place.show(
                views.ended(set_id=set_id, request=request, sentence=texts.ALL_WITHHELD)
            )

        if withheld and privately:
            await say_privately(interaction, texts.withheld(withheld, of=len(images)))

        return message_id

    async def _shown_result(self, set_id: str, job: Job, place: InteractionPlace) -> Result:
        """The job's result; its progress is shown meanwhile."""
        result = asyncio.ensure_future(job.result())
        shown: tuple[str, Preview | None] = "", None
        looks = 0
        try:
            while not result.done():
                await asyncio.wait({result}, timeout=PROGRESS_EVERY_S)
                looks += 1
                progress = job.progress
                news = texts.progress_sentence(progress), progress.preview
                enough = news[1] is None or news[1] != shown[1] or looks >= LOOKS_AT_ONE_PREVIEW
                if result.done() or news == shown or not enough:
                    continue

                shown, looks = news, 0
                try:
                    await place.show(
                        _progress(set_id, job, progress), views.preview_files(progress.preview)
                    )
                except NOT_TAKEN as exc:
                    log.warning("set %s: progress was not shown: %s", set_id, exc)

            return await result
        finally:
            result.cancel()

    def _forget(self, set_id: str) -> None:
        self._jobs.pop(set_id, None)
        if not self._jobs:
            self._idle.set()


def _new_set(interaction: Interaction, set_id: str, request: ImageRequest) -> NewSet:
    return NewSet(
        set_id=set_id,
        requester_id=interaction.user.id,
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id or 0,
        interaction_id=interaction.id,
        request=request.to_json(),
    )


def _new_images(result: Result) -> list[NewImage]:
    """The images as the store keeps them, each with an id; also those that are withheld."""
    return [
        NewImage(
            image_id=shortuuid.uuid(),
            slot=slot,
            seed=image.seed,
            sha256=image.sha256,
            png=image.png,
            unsafe_score=image.unsafe_score,
            withheld=image.withheld,
        )
        for slot, image in enumerate(result.images, start=1)
    ]


def _progress(set_id: str, job: Job, progress: JobProgress) -> ui.LayoutView:
    return views.progress(
        set_id=set_id,
        request=job.request,
        sentence=texts.progress_sentence(progress),
        preview=progress.preview,
    )

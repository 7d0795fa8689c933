"""Follows one accepted request: from the queue to its images, or to a sentence that explains."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import discord
import shortuuid
from discord import ui

from bot.chat import texts, views
from bot.chat.languages.translation import speaking
from bot.chat.messages import MessageDeleted, Place
from bot.chat.responses import NOT_TAKEN, say_privately
from bot.chat.views import AcceptedRequest
from generation.errors import Cancelled, Closing, GenerationError
from generation.queue.job import Job, JobProgress
from generation.request import GeneratedImage, Preview, Result, Withheld
from storage.errors import StorageError, StoreClosing
from storage.store import VoteStore
from storage.vote import NewImage, SetState, StoredSet

log = logging.getLogger(__name__)

# Discord limits how often one message may be edited, and after a restart the messages of a channel
# share one limit.
PROGRESS_EVERY_S = 2.0
PROGRESS_BY_CHANNEL_EVERY_S = 10.0

# Under a preview that stays, the words change only every so many looks: each change uploads the
# preview again, and whoever looks at it loads it again.
LOOKS_AT_ONE_PREVIEW = 3


class Follower:
    """Sees one request through. Its methods raise nothing: the message says what went wrong.

    Until its images are posted, or it is clear that there will be none, the request waits in the
    journal. If the bot stops before that, the next start takes it up again.
    """

    def __init__(
        self,
        accepted: AcceptedRequest,
        place: Place,
        store: VoteStore,
        *,
        shows_doubtful: Callable[[object], bool],
    ) -> None:
        """shows_doubtful: whether a channel may have images that the classifier finds doubtful."""
        self._accepted = accepted
        self._place = place
        self._store = store
        self._shows_doubtful = shows_doubtful
        self._set_id = accepted.set_id

    async def make(self, job: Job) -> None:
        """Show the job's progress, then post its images."""
        async with self._explained(), self._counted(job):
            await self._note_message(job)
            result = await self._shown_result(job)
            images = new_images(await self._here(result.images))
            provenance = result.provenance.to_json()
            self._accepted = replace(self._accepted, request=result.request)
            await self._store.add_images(
                self._set_id, images, provenance=provenance, request=result.request.to_json()
            )
            unread = texts.cut_short(job.request, provenance)
            await self._post(images, unread, anew=not self._place.is_recent)

    async def post_made(self, stored: StoredSet) -> None:
        """Post images that an earlier run made. If they were posted, this changes nothing."""
        async with self._explained():
            images = await self._stored_images(stored)
            if images is None:
                await self._end(SetState.FAILED, texts.images_lost())
            else:
                unread = texts.cut_short(self._accepted.request, stored.provenance or {})
                await self._post(images, unread, anew=not self._place.is_recent)

    async def refuse(self, reason: Callable[[], str]) -> None:
        """Say why the request is not made. reason: the sentence, in the language spoken then."""
        async with self._explained():
            await self._end(SetState.FAILED, reason())

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        reference = str(self._place.interaction_id)
        try:
            yield
        except (Closing, StoreClosing):
            with suppress(MessageDeleted, *NOT_TAKEN):
                await self._place.show(views.progress(self._accepted, texts.kept()))
        except MessageDeleted:
            log.info("set %s: its message was deleted", self._set_id)
            await self._record_end(SetState.CANCELLED)
        except Cancelled:
            # Before it is said: a request that its requester cancelled is not made after a kill.
            await self._record_end(SetState.CANCELLED)
            await self._say_end(texts.cancelled())
        except (GenerationError, StorageError) as exc:
            log.warning("set %s: %s", self._set_id, exc)
            await self._end(SetState.FAILED, texts.refusal(exc, reference=reference))
        except NOT_TAKEN as exc:
            log.error("set %s: Discord refuses the images: %s", self._set_id, exc)
            await self._end(SetState.FAILED, texts.cannot_post())
        except Exception:
            log.exception("set %s failed", self._set_id)
            await self._end(SetState.FAILED, texts.unexpected(reference))

    @asynccontextmanager
    async def _counted(self, job: Job) -> AsyncIterator[None]:
        """Count the try when a worker begins it. One that a stop as asked ends does not count."""

        async def begin() -> None:
            await job.begun()
            await self._count_try(1)

        begun = asyncio.create_task(begin())
        try:
            yield
        except Closing:
            if begun.done():
                await self._count_try(-1)

            raise
        finally:
            begun.cancel()

    async def _count_try(self, by: int) -> None:
        try:
            await self._store.count_try(self._set_id, by=by)
        except StorageError as exc:
            log.error("set %s: its tries are not counted: %s", self._set_id, exc)

    async def _end(self, state: SetState, sentence: str) -> None:
        """Say how it ended, and then record that: after a kill between, the next start says it."""
        await self._say_end(sentence)
        await self._record_end(state)

    async def _say_end(self, sentence: str) -> None:
        try:
            await self._place.settle(lambda: (views.ended(self._accepted, sentence), []))
        except MessageDeleted:
            pass
        except NOT_TAKEN as exc:
            log.warning("set %s: its end could not be explained: %s", self._set_id, exc)

    async def _record_end(self, state: SetState) -> None:
        try:
            await self._store.set_state(self._set_id, state)
        except StorageError as exc:
            log.error("set %s: %s", self._set_id, exc)

    async def _note_message(self, job: Job) -> None:
        """Record which message shows the request; there is one afterwards."""
        if self._place.message_id is None:
            await self._place.settle(lambda: (self._progress(job.progress), []))

        assert self._place.message_id is not None
        await self._store.set_message(
            self._set_id, channel_id=self._place.channel_id, message_id=self._place.message_id
        )

    async def _here(self, images: Sequence[GeneratedImage]) -> list[GeneratedImage]:
        """The images, without the bytes of doubtful ones where the channel may not have them."""
        if not any(image.doubtful for image in images):
            return list(images)

        shown = self._shows_doubtful(await self._place.channel())

        return [
            image
            if shown or not image.doubtful
            else replace(image, png=b"", withheld=Withheld.DOUBTFUL, doubtful=False)
            for image in images
        ]

    async def _post(self, images: Sequence[NewImage], unread: Sequence[str], *, anew: bool) -> None:
        """Show what is not withheld, and tell the requester alone what is."""
        shown = [image for image in images if image.withheld is None]
        withheld = [image for image in images if image.withheld is not None]
        if shown:

            def draw() -> tuple[ui.LayoutView, list[discord.File]]:
                alone = self._place.interaction is not None
                notes = [*unread, "" if alone else texts.withheld_in_message(len(withheld))]
                view = views.result(self._accepted, shown, note="\n".join(filter(None, notes)))

                return view, views.files(shown, prompt=self._accepted.request.prompt)

            message_id = await self._place.post(draw, anew=anew)
        else:
            await self._place.settle(
                lambda: (views.ended(self._accepted, texts.all_withheld()), [])
            )
            assert self._place.message_id is not None
            message_id = self._place.message_id

        if message_id != self._place.message_id:
            with suppress(MessageDeleted, *NOT_TAKEN):
                await self._place.settle(lambda: (views.elsewhere(self._accepted), []))

        try:
            await self._store.mark_posted(self._set_id, message_id)
        except StorageError as exc:  # the next start, or the first vote, does it
            log.error("set %s was posted, but that is not recorded: %s", self._set_id, exc)

        interaction = self._place.interaction
        if withheld and interaction is not None:
            with speaking(interaction.locale):
                await say_privately(interaction, texts.withheld(withheld, of=len(images)))

    async def _shown_result(self, job: Job) -> Result:
        """The job's result; its progress is shown meanwhile."""
        result = asyncio.ensure_future(job.result())
        shown: tuple[str, Preview | None] = "", None
        looks = 0
        # A request that was just accepted shows its progress already.
        pause_s = PROGRESS_EVERY_S if self._place.interaction else 0
        try:
            while not result.done():
                await asyncio.wait({result}, timeout=pause_s)
                by_token = self._place.interaction is not None
                pause_s = PROGRESS_EVERY_S if by_token else PROGRESS_BY_CHANNEL_EVERY_S
                looks += 1
                progress = job.progress
                news = texts.progress_sentence(progress), progress.preview
                enough = news[1] is None or news[1] != shown[1] or looks >= LOOKS_AT_ONE_PREVIEW
                if result.done() or news == shown or not enough:
                    continue

                shown, looks = news, 0
                try:
                    await self._place.show(
                        self._progress(progress), views.preview_files(progress.preview)
                    )
                except NOT_TAKEN as exc:
                    log.info("set %s: progress was not shown: %s", self._set_id, exc)

            return await result
        finally:
            result.cancel()

    def _progress(self, progress: JobProgress) -> ui.LayoutView:
        return views.progress(
            self._accepted, texts.progress_sentence(progress), preview=progress.preview
        )

    async def _stored_images(self, stored: StoredSet) -> list[NewImage] | None:
        """The images that were recorded, with their bytes; None if the bytes of one are gone."""
        images = []
        for image in stored.images:
            png = b"" if image.withheld else await self._store.spooled(image.image_id)
            if png is None:
                return None

            images.append(
                NewImage(
                    image_id=image.image_id,
                    slot=image.slot,
                    seed=image.seed,
                    sha256=image.sha256,
                    png=png,
                    withheld=image.withheld,
                    doubtful=image.doubtful,
                )
            )

        return images


def new_images(images: Sequence[GeneratedImage]) -> list[NewImage]:
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
            doubtful=image.doubtful,
        )
        for slot, image in enumerate(images, start=1)
    ]

"""After a restart: finishes or explains the requests that the last run left."""

import logging

import discord

from bot.chat import texts, views
from bot.chat.messages import ChannelPlace, MessageDeleted
from bot.chat.responses import NOT_TAKEN
from generation.request import ImageRequest
from storage.store import VoteStore
from storage.vote import NewImage, SetState, StoredSet

log = logging.getLogger(__name__)


async def resume(client: discord.Client, store: VoteStore) -> None:
    """Show images that were made and perhaps not posted, and say which will not be made."""
    for stored in await store.interrupted_sets():
        if stored.message_id is not None:
            try:
                await _finish_or_explain(client, store, stored, stored.message_id)
            except (*NOT_TAKEN, MessageDeleted) as exc:
                log.warning("set %s: its message could not be edited: %r", stored.set_id, exc)

        if (await store.find_set(stored.set_id) or stored).state is not SetState.POSTED:
            await store.set_state(stored.set_id, SetState.INTERRUPTED)


async def _finish_or_explain(
    client: discord.Client, store: VoteStore, stored: StoredSet, message_id: int
) -> None:
    request = ImageRequest.from_json(stored.request)
    place = ChannelPlace(
        client, channel_id=stored.channel_id, guild_id=stored.guild_id, message_id=message_id
    )
    withheld = sum(image.withheld is not None for image in stored.images)
    if withheld and withheld == len(stored.images):
        await place.show(
            views.ended(set_id=stored.set_id, request=request, sentence=texts.ALL_WITHHELD)
        )
        await store.mark_posted(stored.set_id, message_id)
        return

    images = await _images(store, stored)
    if not images:
        await place.show(
            views.ended(set_id=stored.set_id, request=request, sentence=texts.INTERRUPTED)
        )
        return

    # They may have been shown already. The edit is the same, so showing them again does no harm.
    unread = texts.cut_short(request, stored.provenance or {})
    note = "\n".join(filter(None, [*unread, texts.withheld_in_message(withheld)]))
    await place.show(
        views.result(set_id=stored.set_id, request=request, images=images, note=note),
        views.files(images, prompt=request.prompt),
    )
    await store.mark_posted(stored.set_id, message_id)


async def _images(store: VoteStore, stored: StoredSet) -> list[NewImage]:
    """The images to show, with their bytes; empty if none were made or a file is missing."""
    images = []
    for image in stored.images:
        if image.withheld is not None:
            continue

        png = await store.spooled(image.image_id)
        if png is None:
            return []

        images.append(
            NewImage(
                image_id=image.image_id,
                slot=image.slot,
                seed=image.seed,
                sha256=image.sha256,
                png=png,
            )
        )

    return images

"""A request's images as they may be shown now, in every message that shows them."""

import logging

import discord
from discord import ui

from bot.chat import texts, views
from bot.chat.context import ContextClient
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN
from bot.chat.views import AcceptedRequest
from storage.store import VoteStore
from storage.vote import NewImage, SetState, StoredSet

log = logging.getLogger(__name__)


async def images_left(store: VoteStore, stored: StoredSet) -> list[NewImage]:
    """The images that people may see, and whose files are on this host. Raises RepositoryError."""
    return [
        NewImage(
            image_id=image.image_id,
            slot=image.slot,
            seed=image.seed,
            sha256=image.sha256,
            png=png,
            doubtful=image.doubtful,
        )
        for image in stored.images
        if image.is_shown and (png := await store.image(image.image_id)) is not None
    ]


def allowed_in(client: ContextClient, channel: object, images: list[NewImage]) -> list[NewImage]:
    """Those that the channel may have."""
    shows_doubtful = client.context.gate.shows_doubtful(channel)

    return [image for image in images if shows_doubtful or not image.doubtful]


def view_of(stored: StoredSet, left: list[NewImage]) -> ui.LayoutView:
    """The message with what is left."""
    if not left:
        return views.removed()

    withheld = sum(1 for image in stored.images if image.withheld is not None)

    return views.result(AcceptedRequest.of(stored), left, note=texts.withheld_in_message(withheld))


def files_of(stored: StoredSet, left: list[NewImage]) -> list[discord.File]:
    """What is attached to it."""
    return views.files(left, prompt=AcceptedRequest.of(stored).request.prompt)


async def show_anew(client: ContextClient, set_id: str) -> bool:
    """Show in all messages of the request what is left of it; whether Discord has taken that."""
    store = client.context.store
    stored = await store.find_set(set_id)
    if stored is None or stored.message_id is None or stored.state is not SetState.POSTED:
        return True  # nothing was shown

    left = await images_left(store, stored)
    places = [(stored.channel_id, stored.message_id, left)]
    for channel_id, message_id in await store.copies(set_id):
        images = allowed_in(client, client.get_channel(channel_id), left)
        places.append((channel_id, message_id, images))

    taken = True
    for channel_id, message_id, images in places:
        with speaking(server_locale(client, stored.guild_id)):
            view, files = view_of(stored, images), files_of(stored, images)

        channel = client.get_partial_messageable(channel_id, guild_id=stored.guild_id)
        try:
            await channel.get_partial_message(message_id).edit(
                view=view, attachments=files, allowed_mentions=NO_MENTIONS
            )
        except NOT_TAKEN as exc:
            log.warning("set %s: a message could not be changed: %s", set_id, exc)
            gone = isinstance(exc, discord.NotFound) and message_id != stored.message_id
            taken = taken and gone

    return taken

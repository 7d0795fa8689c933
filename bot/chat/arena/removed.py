"""A pair's post after moderators removed an image of it, or brought it back."""

import logging

from bot.chat.arena import views
from bot.chat.arena.pictures import pictures_of
from bot.chat.context import ContextClient
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN

log = logging.getLogger(__name__)


async def show_pair_anew(client: ContextClient, set_id: str) -> bool:
    """Show in the post of the pair, if this set is a side of one, what is left of it: both images
    or none; whether Discord has taken that."""
    store = client.context.store
    post = await store.arenas.post_of(set_id)
    if post is None:
        return True

    pictures = None if post.pair is None else await pictures_of(store, post.pair)
    with speaking(server_locale(client, post.guild_id)):
        view = views.removed() if pictures is None else views.post(pictures.pair)
        files = [] if pictures is None else views.files(pictures)

    channel = client.get_partial_messageable(post.channel_id, guild_id=post.guild_id)
    try:
        await channel.get_partial_message(post.message_id).edit(
            view=view, attachments=files, allowed_mentions=NO_MENTIONS
        )
    except NOT_TAKEN as exc:
        log.warning("set %s: the post of its pair could not be changed: %s", set_id, exc)
        return False

    return True

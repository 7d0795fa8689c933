"""Posts the best images of each week in the channels that moderators have chosen.

A post is due on Mondays at 12:00 UTC. The journal has each try, and whether the post is done. After
a try that was cut off, nobody knows whether Discord has the post: it is looked for in the channel.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from io import BytesIO

import discord

from bot.chat.admission.gate import Gate
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN
from bot.chat.standing import gallery, sentences
from bot.chat.standing.commands import CANDIDATES, WEEK
from bot.chat.standing.votes_plot import DAYS, NAME, votes_plot
from storage.errors import StorageError
from storage.store import VoteStore

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 300.0
_AT = time(12, tzinfo=UTC)
_LOOKED_AT = 200  # of the newest messages, for a post that may have arrived


def last_due(now: datetime) -> datetime:
    """When the post of this week was due: the last Monday at 12:00 UTC."""
    monday = now.astimezone(UTC).date() - timedelta(days=now.astimezone(UTC).weekday())
    due = datetime.combine(monday, _AT)

    return due if due <= now else due - WEEK


@asynccontextmanager
async def posting(store: VoteStore, client: discord.Client, gate: Gate) -> AsyncIterator[None]:
    """Look every five minutes whether a post is due, while the context lasts."""
    task = asyncio.create_task(_look(store, client, gate), name="weekly posts")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _look(store: VoteStore, client: discord.Client, gate: Gate) -> None:
    while True:
        try:
            await client.wait_until_ready()
            await post_due(store, client, gate, now=discord.utils.utcnow())
        except StorageError as exc:
            log.warning("%s", exc)
        except Exception:
            log.exception("unexpected; looking again in %g s", _LOOK_EVERY_S)

        await asyncio.sleep(_LOOK_EVERY_S)


async def post_due(store: VoteStore, client: discord.Client, gate: Gate, *, now: datetime) -> None:
    """Post what is due and not done. What Discord does not take is tried again at the next look."""
    due = last_due(now)
    for guild_id, channel_id in (await store.standing.weekly_channels()).items():
        guild = client.get_guild(guild_id)
        if guild is None or not gate.serves(guild_id, among=client.guilds):
            continue

        tries = await store.standing.begin_weekly_post(guild_id, due.date())
        if tries is None:
            continue

        try:
            if tries == 1 or not await _is_posted(client, channel_id, due):
                await _post(store, client, guild, channel_id, due)
        except NOT_TAKEN as exc:
            log.warning("the week's best images were not posted in %d: %s", channel_id, exc)
            continue

        await store.standing.finish_weekly_post(guild_id, due.date())


async def _post(
    store: VoteStore,
    client: discord.Client,
    guild: discord.Guild,
    channel_id: int,
    due: datetime,
) -> None:
    """Post the images that everybody in the server may see; nothing if there are none."""
    channel = guild.get_channel_or_thread(channel_id)
    best = await store.standing.best_images(guild.id, within=WEEK, limit=CANDIDATES)
    seen = [
        image
        for image in best
        if gallery.may_see(guild, image, reader=guild.default_role, shown_in=channel)
    ]
    shown = await gallery.pictures(store, seen[: gallery.MOST])
    if not shown:
        log.info("server %d has no best images of the week", guild.id)
        return

    figures = await store.standing.server(guild.id, days=DAYS)
    with speaking(server_locale(client, guild.id)):
        heading = f"{sentences.top()}\n{sentences.week(due - WEEK, due)}"
        png = await votes_plot(figures)
        about = sentences.plot_title()
        plot = discord.MediaGalleryItem(f"attachment://{NAME}", description=about) if png else None
        view = gallery.view(heading, shown, guild.id, plot=plot)

    plots = [discord.File(BytesIO(png), NAME)] if png else []
    await client.get_partial_messageable(channel_id, guild_id=guild.id).send(
        view=view,
        files=[*gallery.files(shown), *plots],
        nonce=f"{due:%y%m%d}{guild.id}",  # for some minutes, Discord makes only one with it
        allowed_mentions=NO_MENTIONS,
    )


async def _is_posted(client: discord.Client, channel_id: int, due: datetime) -> bool:
    """Whether the channel has the post of this week. Raises what is in `NOT_TAKEN`."""
    week = sentences.week(due - WEEK, due)
    channel = client.get_partial_messageable(channel_id)
    async for message in channel.history(limit=_LOOKED_AT):
        mine = client.user is not None and message.author.id == client.user.id
        if mine and any(week in text for text in _texts(message)):
            return True

    return False


def _texts(message: discord.Message) -> list[str]:
    boxes = [box for box in message.components if isinstance(box, discord.Container)]

    return [
        item.content
        for box in boxes
        for item in box.children
        if isinstance(item, discord.TextDisplay)
    ]

"""Tells the moderators in their channel what each of them did, when votes do not reach the remote,
and when they do again.

The journal keeps what they were told, so a restart does not repeat it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import discord

from bot.chat import texts
from bot.chat.moderation import sentences
from bot.chat.moderation.alarms import alarm_view
from bot.chat.responses import MESSAGE_CHARS, NO_MENTIONS
from bot.settings import Settings
from storage.errors import StorageError
from storage.status import RemoteStatus
from storage.store import VoteStore

log = logging.getLogger(__name__)

POLL_EVERY_S = 15.0

_ACTS_IN_A_MESSAGE = 2  # a reason of 300 characters may take 600, and Discord takes 2,000


@asynccontextmanager
async def watching(
    settings: Settings, store: VoteStore, client: discord.Client
) -> AsyncIterator[None]:
    """Poll the store every 15 s while the context lasts, if a channel is set."""
    if settings.moderators_channel is None:
        yield
        return

    task = asyncio.create_task(_poll(settings, store, client), name="alarm")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _poll(settings: Settings, store: VoteStore, client: discord.Client) -> None:
    while True:
        try:
            await client.wait_until_ready()
            await tell_news(settings, store, client)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as exc:
            log.warning("the message to the moderators could not be posted: %s", exc)
        except StorageError as exc:
            log.warning("%s", exc)
        except Exception:
            log.exception("unexpected; trying again in %g s", POLL_EVERY_S)

        await asyncio.sleep(POLL_EVERY_S)


async def tell_news(settings: Settings, store: VoteStore, client: discord.Client) -> None:
    """Post what the moderators have not been told yet.

    Raises discord.HTTPException; then the message counts as not told.
    """
    if settings.moderators_channel is None:
        return

    channel = client.get_partial_messageable(settings.moderators_channel)
    while acts := await store.moderation.untold(limit=_ACTS_IN_A_MESSAGE):
        told = "\n".join(map(sentences.line, acts))
        await channel.send(told[:MESSAGE_CHARS], allowed_mentions=NO_MENTIONS)
        await store.moderation.mark_told(acts)

    for alarm in await store.moderation.raise_alarms():
        await channel.send(
            sentences.alarm(alarm), view=alarm_view(alarm), allowed_mentions=NO_MENTIONS
        )
        await store.moderation.mark_alarm_told(alarm)

    remote = (await store.status()).remote
    if remote is None:
        return

    mark = remote.watermark
    if mark.announced_branch != mark.branch:
        await channel.send(texts.remote_moved(remote), allowed_mentions=NO_MENTIONS)
        await store.record_announced_branch(mark.branch)

    age_s = _age_s(remote)
    if mark.alarmed_at is None and age_s >= settings.remote_alarm_s:
        await channel.send(texts.remote_behind(remote, age_s=age_s), allowed_mentions=NO_MENTIONS)
        await store.record_alarm(datetime.now(UTC))
    elif mark.alarmed_at is not None and mark.waiting_since is None:
        await channel.send(texts.remote_caught_up(remote), allowed_mentions=NO_MENTIONS)
        await store.record_alarm(None)


def _age_s(remote: RemoteStatus) -> float:
    since = remote.watermark.waiting_since

    return 0.0 if since is None else (datetime.now(UTC) - since).total_seconds()

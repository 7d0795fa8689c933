"""Tells the moderators of each server in their channel what each of them did, and alarms; and the
operator when votes do not reach the remote, and when they do again.

The journal keeps what they were told, so a restart does not repeat it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime

import discord
from discord.utils import MISSING

from bot.chat import texts
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.moderation import sentences
from bot.chat.moderation.alarms import alarm_view
from bot.chat.moderation.channel import channel_id
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN
from bot.settings import Settings
from storage.acts import AlarmLimits
from storage.errors import StorageError
from storage.status import RemoteStatus
from storage.store import VoteStore

log = logging.getLogger(__name__)

POLL_EVERY_S = 15.0


@asynccontextmanager
async def watching(
    settings: Settings, store: VoteStore, client: discord.Client
) -> AsyncIterator[None]:
    """Poll the store every 15 s while the context lasts."""
    task = asyncio.create_task(_poll(settings, store, client), name="moderators")
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
        except StorageError as exc:
            log.warning("%s", exc)
        except Exception:
            log.exception("unexpected; trying again in %g s", POLL_EVERY_S)

        await asyncio.sleep(POLL_EVERY_S)


async def tell_news(settings: Settings, store: VoteStore, client: discord.Client) -> None:
    """Post what moderators have not been told yet, each server's in its channel.

    What has no channel counts as told: the journal has it.
    """
    news = _News(store, client, operators_channel=settings.moderators_channel)
    await news.tell_acts()
    await news.tell_alarms(_alarm_limits(settings))
    with news.speaking_to(None):
        await news.tell_of_remote(alarm_s=settings.remote_alarm_s)


class _News:
    """What is told in one look. A message that Discord does not take counts as not told, ends the
    look for its server and for no other."""

    def __init__(
        self, store: VoteStore, client: discord.Client, *, operators_channel: int | None
    ) -> None:
        self._store = store
        self._client = client
        self._operators_channel = operators_channel
        self._not_taken: set[int | None] = set()

    async def tell_acts(self) -> None:
        """What moderators did, in order."""
        moderation = self._store.moderation
        while acts := await moderation.untold(limit=1, but_of=self._not_taken):
            [act] = acts
            with self.speaking_to(act.guild_id):
                if await self._tell(act.guild_id, sentences.line(act)):
                    await moderation.mark_told(acts)

    async def tell_alarms(self, limits: AlarmLimits) -> None:
        """Each with its button."""
        for alarm in await self._store.moderation.raise_alarms(limits):
            with self.speaking_to(alarm.guild_id):
                told = sentences.alarm(alarm, new_days=limits.new_days)
                if await self._tell(alarm.guild_id, told, alarm_view(alarm)):
                    await self._store.moderation.mark_alarm_told(alarm)

    async def tell_of_remote(self, *, alarm_s: float) -> None:
        """Whether votes reach the remote, and in which branch: for the operator alone."""
        remote = (await self._store.status()).remote
        if remote is None or self._operators_channel is None:
            return

        mark = remote.watermark
        moved = mark.announced_branch != mark.branch
        if moved and await self._tell(None, texts.remote_moved(remote)):
            await self._store.record_announced_branch(mark.branch)

        age_s = _age_s(remote)
        begins = mark.alarmed_at is None and age_s >= alarm_s
        if begins and await self._tell(None, texts.remote_behind(remote, age_s=age_s)):
            await self._store.record_alarm(datetime.now(UTC))

        is_over = mark.alarmed_at is not None and mark.waiting_since is None
        if is_over and await self._tell(None, texts.remote_caught_up(remote)):
            await self._store.record_alarm(None)

    def speaking_to(self, guild_id: int | None) -> AbstractContextManager[None]:
        """In the language of a server; for the operator, of the server with their channel."""
        if guild_id is None and self._operators_channel is not None:
            channel = self._client.get_channel(self._operators_channel)
            guild_id = channel.guild.id if isinstance(channel, discord.abc.GuildChannel) else None

        return speaking(server_locale(self._client, guild_id))

    async def _tell(
        self, guild_id: int | None, content: str, view: discord.ui.View = MISSING
    ) -> bool:
        """Whether the server's moderators have it, or there is nowhere to tell them."""
        if guild_id in self._not_taken:
            return False

        told_in = await channel_id(self._store, guild_id, operators_channel=self._operators_channel)
        if told_in is None:
            return True

        try:
            await self._client.get_partial_messageable(told_in).send(
                content, view=view, allowed_mentions=NO_MENTIONS
            )
        except NOT_TAKEN as exc:
            log.warning("the moderators' channel %d did not take a message: %s", told_in, exc)
            self._not_taken.add(guild_id)

        return guild_id not in self._not_taken


def _alarm_limits(settings: Settings) -> AlarmLimits:
    return AlarmLimits(
        new_accounts=settings.alarm_new_accounts,
        agreeing=settings.alarm_agreeing,
        new_days=settings.alarm_new_days,
    )


def _age_s(remote: RemoteStatus) -> float:
    since = remote.watermark.waiting_since

    return 0.0 if since is None else (datetime.now(UTC) - since).total_seconds()

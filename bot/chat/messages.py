"""Where a request's public message is, and how to reach it until Discord has taken a change."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import discord
from discord import ui

from bot.chat.context import Interaction
from bot.chat.custom_ids import SetId
from bot.chat.languages.translation import server_locale
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN

log = logging.getLogger(__name__)

T = TypeVar("T")

# What a message shows and what is attached. Sending uses both up, so each try draws them anew.
Draw = Callable[[], tuple[ui.LayoutView, Sequence[discord.File]]]

# An interaction's token dies after 15 minutes; a minute is kept for the upload.
TOKEN_LIFE = timedelta(minutes=14)

# Between two tries of what Discord did not take; the last one repeats.
PAUSES_S: Sequence[float] = (1, 2, 5, 10, 30, 60)

# Another try changes nothing: wrong content, no permission, no such message or channel, too large.
_FINAL = frozenset({400, 403, 404, 405, 413})
_UNKNOWN_WEBHOOK = 10015  # also what a token gets that answered nothing


# The answer to an interaction comes within 3 s; others may write meanwhile. Discord's limit.
_ANSWERED_AMONG = 100


class MessageDeleted(Exception):
    """Somebody deleted the message; nobody waits for it any more."""


class Place:
    """A request's message: edited with the interaction's token, or through the channel when that
    is over or was refused, or after a restart.

    message_id: None while it is not known whether there is a message.
    interaction: None after a restart.

    Methods raise MessageDeleted, and what is in `responses.NOT_TAKEN` for what Discord refuses.
    """

    def __init__(
        self,
        client: discord.Client,
        *,
        set_id: str,
        interaction_id: int,
        channel_id: int,
        guild_id: int | None,
        message_id: int | None,
        interaction: Interaction | None = None,
    ) -> None:
        self.channel_id = channel_id
        self.message_id = message_id
        self.interaction_id = interaction_id
        self._set_id = set_id
        self._client = client
        self._guild_id = guild_id
        self._channel = client.get_partial_messageable(channel_id, guild_id=guild_id)
        self._interaction = interaction

    @property
    def interaction(self) -> Interaction | None:
        """The interaction while its token is good: then its member can be told things alone."""
        return self._interaction if self.is_recent else None

    @property
    def locale(self) -> discord.Locale | None:
        """The language for everybody who reads the message."""
        return server_locale(self._client, self._guild_id)

    async def channel(self) -> object:
        """The channel as Discord describes it, once it has; None if the bot does not see it."""
        await self._client.wait_until_ready()

        return self._client.get_channel(self.channel_id)

    @property
    def is_recent(self) -> bool:
        """Whether the request is younger than a token's life."""
        asked_at = discord.utils.snowflake_time(self.interaction_id)

        return discord.utils.utcnow() - asked_at <= TOKEN_LIFE

    async def show(self, view: ui.LayoutView, files: Sequence[discord.File] = ()) -> None:
        """Replace what the message shows and what is attached. Tries once."""
        try:
            if self.interaction is None and self.message_id is None:
                self.message_id = await self._find_lost()

            # What was attached and is not named again is deleted: a preview does not stay.
            if self.interaction is not None:
                message = await self.interaction.edit_original_response(
                    view=view, attachments=list(files), allowed_mentions=NO_MENTIONS
                )
                self.message_id = message.id
            elif self.message_id is not None:
                await self._channel.get_partial_message(self.message_id).edit(
                    view=view, attachments=list(files), allowed_mentions=NO_MENTIONS
                )
            else:
                self.message_id = await self._send(view, files, nonce=f"{self._set_id}-1")
        except discord.NotFound as exc:
            if exc.code == _UNKNOWN_WEBHOOK:
                raise

            raise MessageDeleted from exc

    async def settle(self, draw: Draw) -> None:
        """Replace what the message shows, and try until Discord has taken it.

        An edit may be repeated, so a lost response does no harm.
        """
        await self._persistently(lambda: self.show(*draw()))

    async def post(self, draw: Draw, *, anew: bool) -> int:
        """Show the images, and try until Discord has taken them; the id of the message with them.

        anew: in a new message in the channel, otherwise in this one. If Discord refuses the one,
        the other is tried.
        """

        async def edit() -> int | None:
            await self.settle(draw)
            return self.message_id

        async def send() -> int:
            return await self._persistently(lambda: self._send(*draw(), nonce=f"{self._set_id}-2"))

        first, second = (send, edit) if anew else (edit, send)
        try:
            posted = await first()
        except NOT_TAKEN:
            posted = await second()

        assert posted is not None  # an edit that was taken has told the id

        return posted

    async def _find_lost(self) -> int | None:
        """The id of the message if Discord made it and a kill kept that from being recorded.

        It is among the first after the interaction. None if it is not, or if the bot may not read
        the channel's history: then Discord shows no messages.
        """
        asked = discord.Object(self.interaction_id)
        cancel = str(SetId("cancel", self._set_id))
        try:
            async for message in self._channel.history(after=asked, limit=_ANSWERED_AMONG):
                if cancel in buttons_on(message):
                    return message.id
        except discord.Forbidden as exc:
            log.info("set %s: its message cannot be looked for: %s", self._set_id, exc)

        return None

    async def _send(self, view: ui.LayoutView, files: Sequence[discord.File], *, nonce: str) -> int:
        """A new message. For some minutes, Discord makes only one with the same nonce."""
        sent = await self._channel.send(
            view=view, files=list(files), nonce=nonce, allowed_mentions=NO_MENTIONS
        )

        return sent.id

    async def _persistently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for pause_s in itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1])):
            by_token = self.interaction is not None
            try:
                return await attempt()
            except NOT_TAKEN as exc:
                status = exc.status if isinstance(exc, discord.HTTPException) else None
                if by_token and (status == 401 or status in _FINAL):
                    log.info("set %s: its token is refused: %s", self._set_id, exc)
                    self._interaction = None
                    continue

                if status in _FINAL:
                    raise

                log.warning(
                    "set %s: Discord did not take its message: %r; trying again in %g s",
                    self._set_id,
                    exc,
                    pause_s,
                )
                await asyncio.sleep(pause_s)

        raise AssertionError("the pauses never end")


def buttons_on(message: discord.Message) -> Iterator[str]:
    """The custom ids of everything that can be pressed on the message."""
    waiting: list[Any] = list(message.components)
    while waiting:
        component = waiting.pop()
        if custom_id := getattr(component, "custom_id", None):
            yield custom_id

        waiting += getattr(component, "children", ())

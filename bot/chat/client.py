"""The Discord client: its commands and buttons, and the answers to what none of them handles."""

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import discord
from discord import app_commands

from bot.chat import custom_ids, texts
from bot.chat.arena.buttons import PairButton
from bot.chat.ballots import Ballots
from bot.chat.buttons import (
    GuidelinesButton,
    ReasonsSelect,
    SetButton,
    UndoButton,
    VoteButton,
    pressed_vote,
)
from bot.chat.commands import add_commands
from bot.chat.context import Context, ContextClient, Interaction
from bot.chat.custom_ids import EditFormId
from bot.chat.guidelines.panel import show_guidelines
from bot.chat.languages.commands import CommandTranslator
from bot.chat.languages.translation import speaking
from bot.chat.messages import buttons_on
from bot.chat.moderation.alarms import AlarmButton
from bot.chat.moderation.reports import ReviewButton, report_set
from bot.chat.privacy.buttons import PrivacyButton
from bot.chat.privacy.notices import AgreeButton, Notices
from bot.chat.rating.buttons import RateButton, RatedPairButton, ShownButton
from bot.chat.requests import Requests
from bot.chat.responses import give_back, say_privately
from bot.chat.sets import edit, vary
from bot.settings import Settings
from storage.plurals import count
from storage.store import VoteStore

log = logging.getLogger(__name__)


class OxherdClient(ContextClient):
    """discord.py's client, without privileged intents and without a cache of messages or members.

    It does not register its commands with Discord; `oxherd sync-commands` does.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: VoteStore,
        requests: Requests,
        shard_count: int | None = None,
    ) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            shard_count=shard_count,
        )
        ballots = Ballots()
        notices = Notices()
        self.context = Context(
            store=store,
            door=requests.door,
            imagine=requests.imagine,
            again=requests.again,
            edit=edit.open_form,
            vary=vary.ask_which,
            details=requests.details,
            cancel=requests.cancel,
            jobs=requests.jobs,
            gate=requests.gate,
            operators_channel=settings.moderators_channel,
            show_ballot=ballots.show,
            refresh_ballot=ballots.refresh,
            report=report_set,
            show_guidelines=show_guidelines,
            show_notice=notices.show,
            go_on=notices.go_on,
        )
        self.tree = app_commands.CommandTree(self)
        add_commands(self.tree, settings, requests.door.limits)
        self.tree.error(self._command_failed)
        self._requests = requests
        parsers = self._connection.parsers
        self._read_interaction = parsers["INTERACTION_CREATE"]
        parsers["INTERACTION_CREATE"] = self._interaction_arrived
        for event in parsers.keys() - {"READY"}:
            parsers[event] = _guarded(event, parsers[event])
        self._answering: set[asyncio.Task[object]] = set()
        self._frozen = False

    def is_connected(self) -> bool:
        """Whether every shard's gateway connection is open."""
        shards = self.shards.values()

        return bool(shards) and not any(shard.is_closed() for shard in shards)

    async def hang_up(self) -> None:
        """Receive no more events. Interactions that were received can still be answered."""
        for shard in self.shards.values():
            await shard.disconnect()

    async def setup_hook(self) -> None:
        """Register the classes of the buttons, for the messages of every earlier run too, and put
        the requests of the last run into the queue before new ones arrive."""
        self.add_dynamic_items(
            VoteButton,
            UndoButton,
            ReasonsSelect,
            SetButton,
            vary.VarySelect,
            PrivacyButton,
            AgreeButton,
            GuidelinesButton,
            ReviewButton,
            AlarmButton,
            RateButton,
            ShownButton,
            PairButton,
            RatedPairButton,
        )
        await self.tree.set_translator(CommandTranslator())
        await self._requests.resume(self)

    async def on_ready(self) -> None:
        """Tell the garbage collector that the bot has started: at the first connection only."""
        log.info("connected as %s in %s", self.user, count(len(self.guilds), "server"))
        if not self._frozen:
            self._frozen = True
            # Full garbage collections cause the loop's longest stalls (docs/measurements.md). The
            # objects made at start-up live until the end, so they are never searched again. The
            # views that discord.py makes for each press are cycles: they are freed in small lots.
            gc.collect()
            gc.freeze()
            gc.set_threshold(700, 5, 3)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """Log it; discord.py connects again by itself."""
        log.info("shard %d lost its connection", shard_id)

    async def on_shard_resumed(self, shard_id: int) -> None:
        """Log it: no event was missed."""
        log.info("shard %d is connected again", shard_id)

    async def on_interaction(self, interaction: Interaction) -> None:
        """Answer the form of Edit, and presses that reach no button: an unknown custom id, or one
        not on its message."""
        custom_id = interaction.custom_id or ""
        if interaction.type is discord.InteractionType.modal_submit:
            if custom_ids.is_edit_form(custom_id):
                await edit.submitted(interaction, EditFormId.parse(custom_id).set_id)

            return

        if interaction.type is not discord.InteractionType.component:
            return

        if not custom_id.startswith(custom_ids.PREFIX):
            return

        if not custom_ids.is_known(custom_id):
            log.warning("interaction %d: unknown button %.100r", interaction.id, custom_id)
            await say_privately(interaction, texts.not_ours())
        elif interaction.message is None or custom_id not in buttons_on(interaction.message):
            await say_privately(interaction, texts.button_gone())

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """Log the error and keep running."""
        log.exception("while handling %s", event_method)

    def _interaction_arrived(self, payload: Any) -> None:
        """Every command, press and form passes here: those of a server that is not served, or that
        the bot is not in, do nothing. Votes do not go on to discord.py, which would read the whole
        message and build a view of it for each: a fifth of what a vote costs."""
        guild_id = int(payload["guild_id"]) if "guild_id" in payload else None
        # The tasks that answer begin in here, and keep the member's language.
        with speaking(payload.get("locale")):
            if not self._requests.gate.serves(guild_id, among=self.guilds):
                log.info("interaction %s: server %s is not served", payload["id"], guild_id)
                self._begin(give_back(self._without_message(payload), texts.not_served()))
            elif (button := pressed_vote(payload)) is not None:
                self._begin(button.callback(self._without_message(payload)))
            else:
                self._read_interaction(payload)

    def _without_message(self, payload: Any) -> Interaction:
        event = {name: value for name, value in payload.items() if name != "message"}

        return discord.Interaction(data=event, state=self._connection)  # type: ignore[arg-type]

    def _begin(self, answering: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(answering)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _command_failed(
        self, interaction: Interaction, error: app_commands.AppCommandError
    ) -> None:
        if isinstance(error, app_commands.TransformerError):
            log.info("interaction %d: an option is outside its limits", interaction.id)
            await give_back(interaction, texts.bad_option(str(error.value)))
            return

        log.error("command of interaction %d failed", interaction.id, exc_info=error)
        await give_back(interaction, texts.unexpected(str(interaction.id)))


def _guarded(event: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads an event; one that cannot be read is logged. It would end discord.py's connection."""

    def guarded(payload: Any) -> None:
        try:
            read(payload)
        except Exception:
            log.exception("an event %s could not be read and is ignored", event)

    return guarded

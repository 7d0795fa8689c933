"""Reports: what members tell the moderators about a message, and what those decide."""

import logging
import re
from typing import Any, Self

import discord
from discord import app_commands, ui

from bot.chat import views
from bot.chat.context import Context, Interaction
from bot.chat.custom_ids import ReviewId
from bot.chat.languages.translation import N_, _, server_locale, speaking
from bot.chat.moderation import removing, sentences
from bot.chat.moderation.channel import channel_id, decides_for
from bot.chat.responses import (
    NO_MENTIONS,
    NOT_TAKEN,
    answered,
    in_time,
    replace_pressed,
    say_privately,
)
from storage.acts import ActKind, Order, Report
from storage.vote import StoredSet

log = logging.getLogger(__name__)

# The buttons under a report: label, style.
_BUTTONS = {
    "keep": (N_("Keep"), discord.ButtonStyle.success),
    "remove": (N_("Remove"), discord.ButtonStyle.secondary),
    "warn": (N_("Remove and warn"), discord.ButtonStyle.secondary),
    "ban": (N_("Remove and ban"), discord.ButtonStyle.danger),
}


@app_commands.guild_only()
@app_commands.context_menu(name="Report")
async def report(interaction: Interaction, message: discord.Message) -> None:
    """Tells the moderators of a message with images."""
    async with answered(interaction):
        stored = await in_time(interaction, removing.set_on(interaction, message))
        if stored is None:
            await say_privately(interaction, sentences.no_images())
        else:
            said = await in_time(interaction, report_set(interaction, stored))
            await say_privately(interaction, said)


async def report_set(interaction: Interaction, stored: StoredSet) -> str:
    """Post it for the moderators, once a request; what the member reads."""
    context = interaction.client.context
    told_in = await channel_id(
        context.store, interaction.guild_id, operators_channel=context.operators_channel
    )
    if told_in is None:
        return sentences.no_moderators_channel()

    moderation = context.store.moderation
    state = await moderation.report(stored.set_id)
    if state is Report.NEW:
        with speaking(server_locale(interaction.client, interaction.guild_id)):
            told = sentences.report(stored, reporter_id=interaction.user.id)
            view = views.under_text(*(ReviewButton(action, stored.set_id) for action in _BUTTONS))

        try:
            await interaction.client.get_partial_messageable(told_in).send(
                told, view=view, allowed_mentions=NO_MENTIONS
            )
        except NOT_TAKEN as exc:
            log.warning("a report was not posted in channel %d: %s", told_in, exc)
            await moderation.take_back_report(stored.set_id)
            return sentences.not_reported()

    return sentences.reported(state)


class ReviewButton(ui.DynamicItem[ui.Button[Any]], template=ReviewId.PATTERN):
    """Keep, Remove, Remove and warn, or Remove and ban, under a report."""

    def __init__(self, action: str, set_id: str) -> None:
        self.action = action
        self.set_id = set_id
        label, style = _BUTTONS[action]
        super().__init__(
            ui.Button(label=_(label), style=style, custom_id=str(ReviewId(action, set_id)))
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        pressed = ReviewId.parse(match.string)

        return cls(pressed.action, pressed.set_id)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Decide at once, or ask for the reason that the author reads."""
        async with answered(interaction):
            if not interaction.permissions.manage_messages:
                await say_privately(interaction, sentences.not_a_moderator())
            elif self.action in ("warn", "ban"):
                await interaction.response.send_modal(ReasonForm(self.action, self.set_id))
            else:
                await _decide(interaction, self.action, self.set_id, reason="")


class ReasonForm(ui.Modal):
    """Asks for what the author reads. After a restart of the bot, Discord asks to try again."""

    def __init__(self, action: str, set_id: str) -> None:
        super().__init__(title=_("Why"))
        self._action = action
        self._set_id = set_id
        self._why: ui.TextInput[Any] = ui.TextInput(
            custom_id="why", max_length=removing.REASON_CHARS
        )
        self.add_item(ui.Label(text=_("What the author reads"), component=self._why))

    async def on_submit(self, interaction: Interaction, /) -> None:  # type: ignore[override]
        """Decide."""
        async with answered(interaction):
            await _decide(interaction, self._action, self._set_id, reason=self._why.value)


async def _decide(interaction: Interaction, action: str, set_id: str, *, reason: str) -> None:
    """Do it, and write under the report what was done, by whom, in place of the buttons."""
    with speaking(server_locale(interaction.client, interaction.guild_id)):
        work = _done(interaction, action, set_id, reason)
        done = await in_time(interaction, work, new_message=False)
        decided = sentences.decided(done, by=interaction.user.id)
        reported = interaction.message.content if interaction.message else ""
        await replace_pressed(interaction, f"{reported}\n{decided}")


async def _done(interaction: Interaction, action: str, set_id: str, reason: str) -> list[str]:
    """Do what the button says; what was done, in sentences."""
    context: Context = interaction.client.context
    moderation = context.store.moderation
    stored = await context.store.find_set(set_id, paired=True)
    if stored is None or decides_for(interaction) not in (None, stored.guild_id):
        return [sentences.nothing_to_remove()]

    order = Order(guild_id=stored.guild_id, moderator_id=interaction.user.id, reason=reason)
    if action == "keep":
        await moderation.decide(ActKind.KEEP, set_id, order)
        return [sentences.kept()]

    done = [await removing.remove(interaction.client, set_id, order)]
    author = stored.requester_id
    if action in ("warn", "ban") and not author:
        done.append(sentences.author_forgotten())
    elif action == "warn":
        await moderation.decide(ActKind.WARN, set_id, order, member_id=author)
        done.append(await _warned(interaction, author, reason))
    elif action == "ban":
        act = await moderation.ban(author, order, lasts=None)
        cancelled = context.jobs.cancel_all(act.guild_id, author)
        done.append(sentences.answer(act, cancelled=cancelled))

    return done


async def _warned(interaction: Interaction, author_id: int, reason: str) -> str:
    """Tell the author in a direct message; what became of that."""
    try:
        author = await interaction.client.fetch_user(author_id)
        await author.send(sentences.warning(reason), allowed_mentions=NO_MENTIONS)
    except NOT_TAKEN as exc:
        log.info("interaction %d: the author could not be warned: %s", interaction.id, exc)
        return sentences.not_warned(author_id)

    return sentences.warned(author_id)

"""Alarms: accounts that vote together, told to the moderators with a button."""

import re
from typing import Any, Self

import discord
from discord import ui

from bot.chat import views
from bot.chat.custom_ids import AlarmId
from bot.chat.languages.translation import _
from bot.chat.moderation import sentences
from bot.chat.moderation.channel import decides_for
from bot.chat.responses import answered, in_time, say_privately
from storage.acts import Alarm, Order


def alarm_view(alarm: Alarm) -> ui.View:
    """The button under an alarm."""
    return views.under_text(AlarmButton(alarm.alarm_id))


class AlarmButton(ui.DynamicItem[ui.Button[Any]], template=AlarmId.PATTERN):
    """Sets the votes of the alarm's accounts aside."""

    def __init__(self, alarm_id: int) -> None:
        self.alarm_id = alarm_id
        super().__init__(
            ui.Button(
                label=_("Set these votes aside"),
                style=discord.ButtonStyle.danger,
                custom_id=str(AlarmId(alarm_id)),
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls(AlarmId.parse(match.string).alarm_id)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do it, and say how many there were."""
        async with answered(interaction):
            if not interaction.permissions.manage_messages:
                await say_privately(interaction, sentences.not_a_moderator())
                return

            moderation = interaction.client.context.store.moderation
            order = Order(guild_id=decides_for(interaction), moderator_id=interaction.user.id)
            act = await in_time(interaction, moderation.set_alarm_aside(self.alarm_id, order))
            await say_privately(
                interaction,
                sentences.nothing_to_set_aside() if act is None else sentences.answer(act),
            )

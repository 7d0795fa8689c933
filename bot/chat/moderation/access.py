"""`/oxherd access`: which roles may ask and vote, and in which channels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import discord
from discord import ChannelType, SelectDefaultValue, SelectDefaultValueType, app_commands, ui

from bot.chat.context import Interaction
from bot.chat.moderation import form_sentences as sentences
from bot.chat.moderation.forms import order, why_field, why_label
from bot.chat.responses import answered, in_time, say_privately
from storage.acts import ActKind, ServerRules

_MOST = 25
"""What Discord lets somebody choose from one menu."""

_CHANNELS = [ChannelType.text, ChannelType.news, ChannelType.forum, ChannelType.voice]


@app_commands.command()
async def access(interaction: Interaction) -> None:
    """Choose the roles that may ask and vote, and the channels where they may"""
    async with answered(interaction):
        rules = await interaction.client.context.store.moderation.rules(interaction.guild_id)
        assert interaction.guild is not None  # Discord offers the group in servers only
        await interaction.response.send_modal(AccessForm(rules, interaction.guild))


class AccessForm(ui.Modal):
    """Who may ask and vote, and where. What is deleted on Discord is not offered any more."""

    def __init__(self, rules: ServerRules, guild: discord.Guild) -> None:
        super().__init__(title=sentences.who_may())
        self._asking_roles = _roles("asking-roles", rules.asking_roles, guild)
        self._asking_channels = _channels("asking-channels", rules.asking_channels, guild)
        self._voting_roles = _roles("voting-roles", rules.voting_roles, guild)
        self._voting_channels = _channels("voting-channels", rules.voting_channels, guild)
        self._why = why_field()
        for text, none, menu in (
            (sentences.may_ask(), sentences.all_members(), self._asking_roles),
            (sentences.ask_in(), sentences.all_channels(), self._asking_channels),
            (sentences.may_vote(), sentences.all_members(), self._voting_roles),
            (sentences.vote_in(), sentences.all_channels(), self._voting_channels),
        ):
            self.add_item(ui.Label(text=text, description=none, component=menu))

        self.add_item(why_label(self._why))

    async def on_submit(self, interaction: Interaction, /) -> None:  # type: ignore[override]
        """Set it, and say what holds now."""
        async with answered(interaction):
            moderation = interaction.client.context.store.moderation
            before = await moderation.rules(interaction.guild_id)
            rules = replace(
                before,
                asking_roles=_ids(self._asking_roles),
                asking_channels=_ids(self._asking_channels),
                voting_roles=_ids(self._voting_roles),
                voting_channels=_ids(self._voting_channels),
            )
            if rules != before:
                by = order(interaction, self._why)
                await in_time(interaction, moderation.set_rules(ActKind.ACCESS, rules, by))

            await say_privately(interaction, sentences.access(rules))


def _roles(custom_id: str, chosen: Sequence[int], guild: discord.Guild) -> ui.RoleSelect[Any]:
    return ui.RoleSelect(
        custom_id=custom_id,
        required=False,
        min_values=0,
        max_values=_MOST,
        default_values=[
            SelectDefaultValue(id=role_id, type=SelectDefaultValueType.role)
            for role_id in chosen
            if guild.get_role(role_id) is not None
        ],
    )


def _channels(custom_id: str, chosen: Sequence[int], guild: discord.Guild) -> ui.ChannelSelect[Any]:
    return ui.ChannelSelect(
        custom_id=custom_id,
        channel_types=_CHANNELS,
        required=False,
        min_values=0,
        max_values=_MOST,
        default_values=[
            SelectDefaultValue(id=channel_id, type=SelectDefaultValueType.channel)
            for channel_id in chosen
            if guild.get_channel(channel_id) is not None
        ],
    )


def _ids(menu: ui.RoleSelect[Any] | ui.ChannelSelect[Any]) -> tuple[int, ...]:
    """What was chosen. The role that everybody has is no choice."""
    return tuple(
        sorted(
            chosen.id
            for chosen in menu.values
            if not (isinstance(chosen, discord.Role) and chosen.is_default())
        )
    )

"""The buttons under a pair that was posted: Left, Tie and Right."""

import re
from typing import Any, Self

import discord
from discord import ui

from bot.chat.arena import sentences
from bot.chat.context import Context
from bot.chat.custom_ids import PairId
from bot.chat.languages.translation import _
from bot.chat.responses import answered, in_time, say_privately
from storage.journal.arena.values import PairVote
from storage.vote import Choice, ShownIn


class PairButton(ui.DynamicItem[ui.Button[Any]], template=PairId.PATTERN):
    """Which image is preferred. Everybody in the channel may press it, as often as they like."""

    def __init__(self, pair_id: str, choice: Choice) -> None:
        self.pair_id = pair_id
        self.choice = choice
        super().__init__(
            ui.Button(
                label=_(sentences.CHOICES[choice]), custom_id=str(PairId(pair_id, choice.value))
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        pressed = PairId.parse(match.string)

        return cls(pressed.pair_id, Choice(pressed.action))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record the vote, then say what is recorded."""
        context: Context = interaction.client.context

        async def admit_and_vote() -> PairVote:
            await context.gate.admit_vote(interaction)

            return await context.store.arenas.vote(
                self.pair_id,
                interaction.user.id,
                self.choice,
                guild_id=interaction.guild_id,
                shown_in=ShownIn.POST,
            )

        async with answered(interaction):
            vote = await in_time(interaction, admit_and_vote())
            await say_privately(interaction, sentences.answer(vote))

"""The buttons. discord.py makes one from its custom id at each press, after a restart too."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self

import discord
from discord import ui

from bot.chat import texts
from bot.chat.context import Context
from bot.chat.custom_ids import GuidelinesId, ReasonsId, SetId, UndoId, VoteId
from bot.chat.languages.translation import N_, _
from bot.chat.responses import answered, in_time
from storage.vote import Mark, Rating, VoteOutcome

# The buttons about a whole request: label, emoji, style.
SET_BUTTONS = {
    "again": (N_("Again"), "🎲", discord.ButtonStyle.secondary),
    "edit": (N_("Edit"), "✏️", discord.ButtonStyle.secondary),
    "vary": (N_("Vary"), "🪄", discord.ButtonStyle.secondary),
    "details": (N_("Details"), "🔎", discord.ButtonStyle.secondary),
    "cancel": (N_("Cancel"), None, discord.ButtonStyle.danger),
}


class VoteButton(ui.DynamicItem[ui.Button[Any]], template=VoteId.PATTERN):
    """👍 or 👎 for one image. Everybody in the channel may press it, as often as they like."""

    def __init__(self, image_id: str, rating: Rating, *, slot: int | None = None) -> None:
        self.image_id = image_id
        self.rating = rating
        super().__init__(
            ui.Button(
                label=None if slot is None else str(slot),
                emoji=texts.emoji(rating),
                custom_id=str(VoteId(image_id, rating)),
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        vote = VoteId.parse(match.string)

        return cls(vote.image_id, vote.rating)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record the vote, then show the ballot."""
        context: Context = interaction.client.context
        async with answered(interaction):
            outcome = await _if_admitted(
                interaction,
                lambda: context.store.vote(
                    self.image_id,
                    interaction.user.id,
                    self.rating,
                    guild_id=interaction.guild_id,
                ),
            )
            await context.show_ballot(interaction, outcome)


class UndoButton(ui.DynamicItem[ui.Button[Any]], template=UndoId.PATTERN):
    """Takes the member's vote on one image back. It is on their ballot."""

    def __init__(self, image_id: str, rating: Rating, *, slot: int | None = None) -> None:
        self.image_id = image_id
        self.rating = rating
        super().__init__(
            ui.Button(
                label=None if slot is None else _("Undo {slot}").format(slot=slot),
                emoji="↩️",
                custom_id=str(UndoId(image_id, rating)),
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        undone = UndoId.parse(match.string)

        return cls(undone.image_id, undone.rating)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Take the vote back, then show the ballot as it is now."""
        context: Context = interaction.client.context
        async with answered(interaction):
            outcome = await in_time(
                interaction,
                context.store.undo(
                    self.image_id,
                    interaction.user.id,
                    self.rating,
                    guild_id=interaction.guild_id,
                ),
                new_message=False,
            )
            await context.refresh_ballot(interaction, outcome)


class ReasonsSelect(ui.DynamicItem[ui.Select[Any]], template=ReasonsId.PATTERN):
    """Why the member voted so on one image: as many reasons as apply. It is on their ballot."""

    def __init__(self, image_id: str, rating: Rating, menu: ui.Select[Any]) -> None:
        self.image_id = image_id
        self.rating = rating
        super().__init__(menu)

    @classmethod
    def of(cls, mark: Mark, rating: Rating, reasons: Sequence[str]) -> Self:
        """Some reasons for this vote; those that were given are picked already."""
        return cls(
            mark.image_id,
            rating,
            ui.Select(
                custom_id=str(ReasonsId(mark.image_id, rating)),
                placeholder=texts.ask_why(mark),
                min_values=0,
                max_values=len(reasons),
                options=[
                    discord.SelectOption(
                        label=_(reason), value=reason, default=reason in mark.reasons
                    )
                    for reason in reasons
                ],
            ),
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The menu from which something was picked."""
        asked = ReasonsId.parse(match.string)
        assert isinstance(item, ui.Select)

        return cls(asked.image_id, asked.rating, item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record the reasons, then show the ballot as it is now."""
        context: Context = interaction.client.context
        async with answered(interaction):
            outcome = await _if_admitted(
                interaction,
                lambda: context.store.explain(
                    self.image_id,
                    interaction.user.id,
                    self.rating,
                    self.item.values,
                    guild_id=interaction.guild_id,
                ),
            )
            await context.refresh_ballot(interaction, outcome)


class GuidelinesButton(ui.DynamicItem[ui.Button[Any]], template=GuidelinesId.PATTERN):
    """Shows the guidelines of the server where it is pressed. It is on every ballot."""

    def __init__(self) -> None:
        super().__init__(
            ui.Button(label=_("Guidelines"), emoji="📖", custom_id=str(GuidelinesId()))
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls()

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show them; the ballot stays as it is."""
        context: Context = interaction.client.context
        async with answered(interaction):
            await context.show_guidelines(interaction)


class SetButton(ui.DynamicItem[ui.Button[Any]], template=SetId.PATTERN):
    """Again, Edit, Vary, Details or Cancel: one of the buttons about a whole request."""

    def __init__(self, action: str, set_id: str) -> None:
        self.action = action
        self.set_id = set_id
        label, emoji, style = SET_BUTTONS[action]
        super().__init__(
            ui.Button(
                label=_(label), emoji=emoji, style=style, custom_id=str(SetId(action, set_id))
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        pressed = SetId.parse(match.string)

        return cls(pressed.action, pressed.set_id)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the button says."""
        context: Context = interaction.client.context
        actions = {
            "again": context.again,
            "edit": context.edit,
            "vary": context.vary,
            "details": context.details,
            "cancel": context.cancel,
        }
        async with answered(interaction):
            await actions[self.action](interaction, self.set_id)


def pressed_vote(event: Mapping[str, Any]) -> VoteButton | None:
    """The vote button that the event of an interaction is about, if the event's message has it."""
    custom_id = event.get("data", {}).get("custom_id", "")
    if not VoteId.PATTERN.fullmatch(custom_id) or "message" not in event:
        return None

    if not _has(event["message"].get("components", []), custom_id):
        return None

    vote = VoteId.parse(custom_id)

    return VoteButton(vote.image_id, vote.rating)


def _has(components: Sequence[Mapping[str, Any]], custom_id: str) -> bool:
    return any(
        component.get("custom_id") == custom_id or _has(component.get("components", []), custom_id)
        for component in components
    )


async def _if_admitted(
    interaction: discord.Interaction[Any], vote: Callable[[], Awaitable[VoteOutcome]]
) -> VoteOutcome:
    """What the vote did. Raises what the gate raises for a member who may not vote."""
    context: Context = interaction.client.context

    async def admit_and_vote() -> VoteOutcome:
        await context.gate.admit_vote(interaction)

        return await vote()

    return await in_time(interaction, admit_and_vote(), new_message=False)

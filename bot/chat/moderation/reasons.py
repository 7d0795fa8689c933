"""`/oxherd reasons`: what members may pick on their ballots to say why."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from discord import app_commands, ui

from bot.chat.context import Interaction
from bot.chat.moderation import form_sentences as sentences
from bot.chat.moderation.forms import give_back, long_text, order, why_field, why_label
from bot.chat.responses import answered, in_time, say_privately
from generation.request import clean_prompt
from storage.acts import ActKind, ServerRules
from storage.vote import BETWEEN_REASONS, NO_REASON, REASONS, Rating, reasons_offered

# What Discord takes: choices in a menu, and characters of one.
MOST, MOST_CHARS = 25, 100


class UnusableReason(ValueError):
    """Members could not pick it, or the dataset not hold it. The message is what is read."""


@app_commands.command()
async def reasons(interaction: Interaction) -> None:
    """Change the reasons that members pick from after a vote"""
    async with answered(interaction):
        rules = await interaction.client.context.store.moderation.rules(interaction.guild_id)
        await interaction.response.send_modal(ReasonsForm(rules))


class ReasonsForm(ui.Modal):
    """The reasons for good and for bad, one a line."""

    def __init__(self, rules: ServerRules) -> None:
        super().__init__(title=sentences.reasons_title())
        self._lists = {
            rating: long_text(rating, now="\n".join(listed), most=MOST * MOST_CHARS)
            for rating, listed in reasons_offered(rules).items()
        }
        self._why = why_field()
        for rating, field in self._lists.items():
            self.add_item(
                ui.Label(
                    text=sentences.reasons_for(rating),
                    description=sentences.one_a_line(MOST),
                    component=field,
                )
            )

        self.add_item(why_label(self._why))

    async def on_submit(self, interaction: Interaction, /) -> None:  # type: ignore[override]
        """Set them, and say what members pick from now."""
        async with answered(interaction):
            try:
                good, bad = (_set_to(rating, field) for rating, field in self._lists.items())
            except UnusableReason as exc:
                typed = "\n\n".join(field.value for field in self._lists.values())
                await give_back(interaction, str(exc), typed)
                return

            moderation = interaction.client.context.store.moderation
            before = await moderation.rules(interaction.guild_id)
            rules = replace(before, good_reasons=good, bad_reasons=bad)
            if rules != before:
                by = order(interaction, self._why)
                await in_time(interaction, moderation.set_rules(ActKind.REASONS, rules, by))

            await say_privately(interaction, sentences.reasons(reasons_offered(rules)))


def _set_to(rating: Rating, field: ui.TextInput[Any]) -> Sequence[str] | None:
    """What is to be kept; None for the usual reasons, which are translated. Raises
    UnusableReason."""
    listed = read(field.value)

    return None if listed == REASONS[rating] else listed


def read(text: str) -> tuple[str, ...]:
    """The reasons of a text that has one a line. Raises UnusableReason."""
    by_spelling: dict[str, str] = {}
    for line in filter(None, map(clean_prompt, text.splitlines())):
        by_spelling.setdefault(line.casefold(), line)

    listed = tuple(by_spelling.values())
    if len(listed) > MOST:
        raise UnusableReason(sentences.too_many_reasons(len(listed), most=MOST))

    for reason in listed:
        if len(reason) > MOST_CHARS:
            raise UnusableReason(sentences.long_reason(reason, most=MOST_CHARS))

        if BETWEEN_REASONS in reason or reason == NO_REASON:
            raise UnusableReason(sentences.reserved_reason(reason))

    return listed

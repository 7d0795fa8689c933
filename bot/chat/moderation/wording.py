"""`/oxherd guidelines` and `/oxherd consent`: texts that members read before they vote or ask."""

from typing import Any

import discord
from discord import app_commands, ui

from bot.chat import views
from bot.chat.context import Interaction
from bot.chat.guidelines.panel import panel
from bot.chat.moderation import form_sentences as sentences
from bot.chat.moderation.forms import give_back, long_text, order, why_field, why_label
from bot.chat.moderation.removing import REASON_CHARS
from bot.chat.privacy import sentences as privacy
from bot.chat.responses import answered, in_time, say_privately, show_privately
from storage.acts import Guidelines, Order
from storage.people import ConsentText

# One message has the guidelines and the text to agree to; Discord takes 4,000 characters in it.
GUIDELINES_CHARS, CONSENT_CHARS = 1_800, 1_500

_ID_CHARS = 64


@app_commands.command()
async def guidelines(interaction: Interaction) -> None:
    """Say what is good and what is bad here, with two example images"""
    async with answered(interaction):
        moderation = interaction.client.context.store.moderation
        now = await moderation.guidelines(interaction.guild_id)
        await interaction.response.send_modal(GuidelinesForm(now))


class GuidelinesForm(ui.Modal):
    """The text, the ids of two images of this server, and whether all are to read it again."""

    def __init__(self, now: Guidelines | None) -> None:
        super().__init__(title=sentences.guidelines_title())
        self._text = long_text("text", now="" if now is None else now.text, most=GUIDELINES_CHARS)
        self._good = _image_field("good", None if now is None else now.good_image)
        self._bad = _image_field("bad", None if now is None else now.bad_image)
        self._again: ui.Select[Any] = ui.Select(
            custom_id="again",
            options=[
                discord.SelectOption(label=sentences.once(), value="once", default=True),
                discord.SelectOption(label=sentences.once_more(), value="again"),
            ],
        )
        self._why = why_field()
        for text, description, field in (
            (sentences.guidelines_text(), sentences.empty_for_none(), self._text),
            (sentences.good_example(), sentences.where_ids_are(), self._good),
            (sentences.bad_example(), sentences.where_ids_are(), self._bad),
            (sentences.shown_to(), None, self._again),
        ):
            self.add_item(ui.Label(text=text, description=description, component=field))

        self.add_item(why_label(self._why))

    async def on_submit(self, interaction: Interaction, /) -> None:  # type: ignore[override]
        """Set them, and show them as members see them."""
        async with answered(interaction):
            store = interaction.client.context.store
            by, text = order(interaction, self._why), self._text.value.strip()
            assert by.guild_id is not None
            good, bad = _image_id(self._good), _image_id(self._bad)
            for image_id in filter(None, (good, bad)):
                if not await store.moderation.is_shown(image_id, by.guild_id):
                    await give_back(interaction, sentences.unknown_example(image_id), text)
                    return

            if not text and (good or bad):
                await say_privately(interaction, sentences.examples_without_text())
                return

            again = self._again.values == ["again"]
            setting = store.moderation.set_guidelines(text, by, good=good, bad=bad, again=again)
            now = await in_time(interaction, setting)
            if now is None:
                await say_privately(interaction, sentences.no_guidelines_any_more())
                return

            shown = await in_time(interaction, panel(store, now))
            said: ui.TextDisplay[Any] = ui.TextDisplay(sentences.guidelines_set(again=again))
            view = views.boxed(said, ui.Separator(), *shown.parts)
            await show_privately(interaction, view, files=shown.files)


class ConsentCommands(
    app_commands.Group, name="consent", description="The text that members have to agree to"
):
    """`/oxherd consent …`"""

    @app_commands.command(name="set")
    async def set_text(self, interaction: Interaction) -> None:
        """Write the text that members have to agree to before they ask or vote"""
        async with answered(interaction):
            moderation = interaction.client.context.store.moderation
            now = await moderation.consent_text(interaction.guild_id)
            await interaction.response.send_modal(ConsentForm(now))

    @app_commands.command()
    async def show(self, interaction: Interaction) -> None:
        """Show the text that members have to agree to"""
        async with answered(interaction):
            moderation = interaction.client.context.store.moderation
            now = await moderation.consent_text(interaction.guild_id)
            await _say_consent(interaction, now)

    @app_commands.command()
    @app_commands.describe(reason="Why; for the log")
    async def clear(
        self, interaction: Interaction, reason: app_commands.Range[str, 1, REASON_CHARS] = ""
    ) -> None:
        """Ask members to agree to nothing any more"""
        async with answered(interaction):
            moderation = interaction.client.context.store.moderation
            if await moderation.consent_text(interaction.guild_id) is not None:
                by = Order(
                    guild_id=interaction.guild_id,
                    moderator_id=interaction.user.id,
                    reason=reason,
                )
                await in_time(interaction, moderation.set_consent_text("", by))

            await _say_consent(interaction, None)


class ConsentForm(ui.Modal):
    """The text. A changed one is shown to everybody again."""

    def __init__(self, now: ConsentText | None) -> None:
        super().__init__(title=sentences.consent_title())
        self._now = now
        self._text: ui.TextInput[Any] = ui.TextInput(
            custom_id="text",
            style=discord.TextStyle.paragraph,
            default=None if now is None else now.text,
            max_length=CONSENT_CHARS,
        )
        self._why = why_field()
        self.add_item(
            ui.Label(
                text=sentences.consent_title(),
                description=sentences.asked_again(),
                component=self._text,
            )
        )
        self.add_item(why_label(self._why))

    async def on_submit(self, interaction: Interaction, /) -> None:  # type: ignore[override]
        """Set it, unless it is the same, and show it."""
        async with answered(interaction):
            moderation = interaction.client.context.store.moderation
            text, by = self._text.value.strip(), order(interaction, self._why)
            now = await moderation.consent_text(interaction.guild_id)
            if text and (now is None or text != now.text):
                await in_time(interaction, moderation.set_consent_text(text, by))
                now = await moderation.consent_text(interaction.guild_id)

            await _say_consent(interaction, now)


async def _say_consent(interaction: Interaction, now: ConsentText | None) -> None:
    if now is None:
        await say_privately(interaction, sentences.nobody_agrees())
    else:
        text = f"{sentences.consent_version(now.version)}\n{privacy.consent(now)}"
        await say_privately(interaction, text)


def _image_field(custom_id: str, image_id: str | None) -> ui.TextInput[Any]:
    return ui.TextInput(custom_id=custom_id, default=image_id, max_length=_ID_CHARS, required=False)


def _image_id(field: ui.TextInput[Any]) -> str | None:
    """The id that was typed, or copied as an attachment's name; None for nothing."""
    return field.value.strip().removesuffix(".png") or None

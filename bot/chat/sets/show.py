"""The slash command /show: an older request of the server, in this channel."""

from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.responses import NO_MENTIONS, answered, in_time, say_privately
from bot.chat.sets import sentences
from bot.chat.sets.shown import allowed_in, files_of, images_left, show_anew, view_of
from storage.vote import SetState

Id = app_commands.Range[str, 1, 64]


@app_commands.guild_only()
@app_commands.command()
@app_commands.describe(subject="The ID of a request, or of one of its images")
@app_commands.rename(subject="id")
async def show(interaction: Interaction, subject: Id) -> None:
    """Show an older request here, with its buttons"""
    async with answered(interaction):
        context = interaction.client.context
        await in_time(interaction, context.gate.admit_show(interaction))
        stored = await in_time(
            interaction,
            context.store.find_set(subject.strip(), guild_id=interaction.guild_id),
        )
        if stored is None or stored.state is not SetState.POSTED:
            await say_privately(interaction, sentences.nothing_to_show())
            return

        left = allowed_in(
            interaction.client,
            interaction.channel,
            await in_time(interaction, images_left(context.store, stored), public=True),
        )
        if not left:
            await say_privately(interaction, sentences.nothing_left_to_show())
            return

        if not interaction.response.is_done():
            await interaction.response.defer(thinking=True)  # an upload may take longer than 3 s

        with speaking(server_locale(interaction.client, interaction.guild_id)):
            view, files = view_of(stored, left), files_of(stored, left)

        message = await interaction.edit_original_response(
            view=view, attachments=files, allowed_mentions=NO_MENTIONS
        )
        await context.store.add_copy(
            stored.set_id, channel_id=interaction.channel_id or 0, message_id=message.id
        )
        if await context.store.find_set(stored.set_id) != stored:
            await show_anew(interaction.client, stored.set_id)  # something was removed meanwhile

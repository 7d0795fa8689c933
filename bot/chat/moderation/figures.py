"""/oxherd weekly and /oxherd stats."""

from dataclasses import replace
from io import BytesIO

import discord
from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.moderation import sentences as moderation_sentences
from bot.chat.moderation.removing import REASON_CHARS
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN, answered, in_time, say_privately
from bot.chat.standing import sentences
from bot.chat.standing.commands import WEEK
from bot.chat.standing.votes_plot import DAYS, NAME, votes_plot
from bot.chat.standing.weekly import last_due
from storage.acts import ActKind, Order


@app_commands.command(description="Post the best images of each week in a channel, or stop that")
@app_commands.describe(
    channel="Where to post them; left out: nowhere any more", reason="Why; for the log"
)
async def weekly(
    interaction: Interaction,
    channel: discord.TextChannel | None = None,
    reason: app_commands.Range[str, 1, REASON_CHARS] = "",
) -> None:
    """Chooses the channel. The first post is the one that is due next."""
    async with answered(interaction):
        assert interaction.guild_id is not None  # Discord offers the group in servers only
        store = interaction.client.context.store
        due = last_due(discord.utils.utcnow())
        if channel is not None:
            with speaking(server_locale(interaction.client, interaction.guild_id)):
                told = sentences.weekly_here(due + WEEK)

            try:
                await in_time(interaction, channel.send(told, allowed_mentions=NO_MENTIONS))
            except NOT_TAKEN:
                said = moderation_sentences.cannot_write_in(channel.id)
                await say_privately(interaction, said)
                return

        await store.standing.finish_weekly_post(interaction.guild_id, due.date())
        rules = await store.moderation.rules(interaction.guild_id)
        chosen = None if channel is None else channel.id
        if rules.weekly_channel != chosen:
            order = Order(
                guild_id=interaction.guild_id, moderator_id=interaction.user.id, reason=reason
            )
            await in_time(
                interaction,
                store.moderation.set_rules(
                    ActKind.WEEKLY, replace(rules, weekly_channel=chosen), order
                ),
            )

        await say_privately(
            interaction, sentences.weekly_off() if chosen is None else sentences.weekly_set(chosen)
        )


@app_commands.command(description="Votes, voters, agreement, and a plot of the last 30 days")
async def stats(interaction: Interaction) -> None:
    """Tells a moderator how the voting goes."""
    async with answered(interaction):
        assert interaction.guild_id is not None
        standing = interaction.client.context.store.standing
        figures = await in_time(interaction, standing.server(interaction.guild_id, days=DAYS))
        png = await in_time(interaction, votes_plot(figures))
        said = sentences.server(figures)
        if png is None:
            await say_privately(interaction, f"{said}\n{sentences.no_plot()}")
        else:
            await say_privately(interaction, said, files=[discord.File(BytesIO(png), NAME)])

"""`/oxherd pace`: how fast a vote may come for it to count."""

from dataclasses import replace

from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.moderation import sentences
from bot.chat.moderation.removing import REASON_CHARS
from bot.chat.responses import answered, in_time, say_privately
from storage.acts import ActKind, Order

Seconds = app_commands.Range[float, 0.0, 60.0]
Reason = app_commands.Range[str, 1, REASON_CHARS]


@app_commands.command()
@app_commands.describe(
    rate="Least seconds from an image under /rate to the press; 0: any vote counts",
    post="Least seconds from the first press on a message to a later one; 0: any vote counts",
    reason="Why; for the log",
)
async def pace(
    interaction: Interaction,
    rate: Seconds | None = None,
    post: Seconds | None = None,
    reason: Reason = "",
) -> None:
    """Show how fast votes may come, or change it: faster ones are kept and do not count"""
    async with answered(interaction):
        moderation = interaction.client.context.store.moderation
        before = await moderation.rules(interaction.guild_id)
        rules = replace(
            before,
            rate_seconds=before.rate_seconds if rate is None else rate,
            post_seconds=before.post_seconds if post is None else post,
        )
        if rules != before:
            order = Order(
                guild_id=interaction.guild_id, moderator_id=interaction.user.id, reason=reason
            )
            await in_time(interaction, moderation.set_rules(ActKind.LIMIT, rules, order))

        await say_privately(interaction, sentences.pace(rules))

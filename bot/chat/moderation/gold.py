"""`/oxherd gold`: images with a known right answer, which show how reliable raters are."""

from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.moderation import sentences
from bot.chat.moderation.removing import REASON_CHARS
from bot.chat.responses import answered, in_time, say_privately
from storage.acts import Order
from storage.vote import Rating

_LISTED = 20
"""Images in a message: Discord takes 2,000 characters."""

ImageId = app_commands.Range[str, 1, 64]
Reason = app_commands.Range[str, 1, REASON_CHARS]


class GoldCommands(
    app_commands.Group, name="gold", description="Images with a known right answer, under /rate"
):
    """`/oxherd gold …`"""

    @app_commands.command()
    @app_commands.describe(
        subject="The ID of an image",
        answer="What everybody should press",
        reason="Why; for the log",
    )
    @app_commands.rename(subject="id")
    @app_commands.choices(
        answer=[
            app_commands.Choice(name="👍", value=Rating.GOOD.value),
            app_commands.Choice(name="👎", value=Rating.BAD.value),
        ]
    )
    async def mark(
        self, interaction: Interaction, subject: ImageId, answer: str, reason: Reason = ""
    ) -> None:
        """Mark an image as gold: /rate then shows it to everybody once"""
        await _mark(interaction, subject, Rating(answer), reason)

    @app_commands.command()
    @app_commands.describe(subject="The ID of an image", reason="Why; for the log")
    @app_commands.rename(subject="id")
    async def unmark(self, interaction: Interaction, subject: ImageId, reason: Reason = "") -> None:
        """End an image's being gold; its votes stay"""
        await _mark(interaction, subject, None, reason)

    @app_commands.command(name="list")
    async def show(self, interaction: Interaction) -> None:
        """Show the gold images, those first on which most votes are wrong"""
        async with answered(interaction):
            assert interaction.guild_id is not None  # Discord offers the group in servers only
            moderation = interaction.client.context.store.moderation
            found = await in_time(
                interaction, moderation.gold(interaction.guild_id, limit=_LISTED + 1)
            )
            await say_privately(
                interaction, sentences.gold(found[:_LISTED], more=len(found) > _LISTED)
            )


async def _mark(
    interaction: Interaction, image_id: str, rating: Rating | None, reason: str
) -> None:
    async with answered(interaction):
        order = Order(
            guild_id=interaction.guild_id, moderator_id=interaction.user.id, reason=reason
        )
        act = await in_time(
            interaction,
            interaction.client.context.store.moderation.mark_gold(image_id, rating, order),
        )
        await say_privately(
            interaction,
            sentences.not_marked() if act is None else sentences.marked(image_id, rating),
        )

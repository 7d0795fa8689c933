"""The command group /oxherd, by default for those who may manage the server."""

from datetime import timedelta

import discord
from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.moderation import removing, sentences
from bot.chat.responses import answered, in_time, say_privately
from storage.acts import Order

Reason = app_commands.Range[str, 1, 300]
Id = app_commands.Range[str, 1, 64]
Hours = app_commands.Range[int, 1, 24 * 366]


@app_commands.guild_only()
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.default_permissions(manage_guild=True)
class ModeratorCommands(
    app_commands.Group, name="oxherd", description="For moderators: members, votes and images"
):
    """Each command is one act in the journal, and can be taken back by another."""

    @app_commands.command()
    @app_commands.describe(
        member="Who may neither ask nor vote from now on",
        reason="Why; the member reads it",
        hours="For how long; for good if left out",
    )
    async def ban(
        self,
        interaction: Interaction,
        member: discord.User,
        reason: Reason,
        hours: Hours | None = None,
    ) -> None:
        """Stop a member, and take their votes out of the dataset until the ban ends"""
        async with answered(interaction):
            context = interaction.client.context
            act = await in_time(
                interaction,
                context.store.moderation.ban(
                    member.id,
                    _order(interaction, reason),
                    lasts=None if hours is None else timedelta(hours=hours),
                ),
            )
            cancelled = context.cancel_all(act.guild_id, member.id)
            await say_privately(interaction, sentences.answer(act, cancelled=cancelled))

    @app_commands.command()
    @app_commands.describe(member="Who may ask and vote again", reason="Why; for the log")
    async def unban(
        self, interaction: Interaction, member: discord.User, reason: Reason = ""
    ) -> None:
        """End a ban, and bring the votes back that it took out"""
        async with answered(interaction):
            act = await in_time(
                interaction,
                interaction.client.context.store.moderation.unban(
                    member.id, _order(interaction, reason)
                ),
            )
            await say_privately(
                interaction, sentences.NOT_BANNED if act is None else sentences.answer(act)
            )

    @app_commands.command(name="discard-votes")
    @app_commands.describe(member="Whose votes", reason="Why; for the log")
    async def discard_votes(
        self, interaction: Interaction, member: discord.User, reason: Reason
    ) -> None:
        """Take all votes that a member gave until now out of the dataset"""
        async with answered(interaction):
            act = await in_time(
                interaction,
                interaction.client.context.store.moderation.discard_votes(
                    member.id, _order(interaction, reason)
                ),
            )
            await say_privately(interaction, sentences.answer(act))

    @app_commands.command(name="restore-votes")
    @app_commands.describe(member="Whose votes", reason="Why; for the log")
    async def restore_votes(
        self, interaction: Interaction, member: discord.User, reason: Reason = ""
    ) -> None:
        """Bring back the votes that discard-votes took out"""
        async with answered(interaction):
            act = await in_time(
                interaction,
                interaction.client.context.store.moderation.restore_votes(
                    member.id, _order(interaction, reason)
                ),
            )
            await say_privately(interaction, sentences.answer(act))

    @app_commands.command()
    @app_commands.describe(subject="The ID of an image or of a request", reason="Why; for the log")
    @app_commands.rename(subject="id")
    async def remove(self, interaction: Interaction, subject: Id, reason: Reason) -> None:
        """Take an image, or all images of a request, out of the dataset and its message"""
        async with answered(interaction):
            order = _order(interaction, reason)
            said = await in_time(interaction, removing.remove(interaction.client, subject, order))
            await say_privately(interaction, said)

    @app_commands.command()
    @app_commands.describe(subject="The ID of an image or of a request", reason="Why; for the log")
    @app_commands.rename(subject="id")
    async def restore(self, interaction: Interaction, subject: Id, reason: Reason = "") -> None:
        """Bring back what was removed"""
        async with answered(interaction):
            order = _order(interaction, reason)
            said = await in_time(interaction, removing.restore(interaction.client, subject, order))
            await say_privately(interaction, said)


def _order(interaction: Interaction, reason: str) -> Order:
    assert interaction.guild_id is not None  # Discord offers the group in servers only

    return Order(guild_id=interaction.guild_id, moderator_id=interaction.user.id, reason=reason)

"""The command group /oxherd, by default for those who may manage the server."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import discord
from discord import app_commands

from bot.chat.arena.commands import ArenaCommands
from bot.chat.context import Interaction
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.moderation import removing, sentences
from bot.chat.moderation.access import access
from bot.chat.moderation.default_model import model_commands
from bot.chat.moderation.figures import stats, weekly
from bot.chat.moderation.gold import GoldCommands
from bot.chat.moderation.pace import pace
from bot.chat.moderation.reasons import reasons
from bot.chat.moderation.wording import ConsentCommands, guidelines
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN, answered, in_time, say_privately
from bot.settings import Settings
from storage.acts import ActKind, Order, ServerRules

Reason = app_commands.Range[str, 1, removing.REASON_CHARS]
Id = app_commands.Range[str, 1, 64]
Limit = app_commands.Range[int, 0, 100_000]
Hours = app_commands.Range[int, 1, 24 * 366]


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class ModeratorCommands(
    app_commands.Group, name="oxherd", description="For moderators: members, votes and images"
):
    """Each command is one act in the journal, and can be taken back by another."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.add_command(QueueCommands())
        self.add_command(weekly)
        self.add_command(stats)
        self.add_command(access)
        self.add_command(reasons)
        self.add_command(guidelines)
        self.add_command(ConsentCommands())
        self.add_command(GoldCommands())
        self.add_command(pace)
        self.add_command(ArenaCommands(settings))
        self.add_command(model_commands(settings))

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
            cancelled = context.jobs.cancel_all(act.guild_id, member.id)
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
                interaction, sentences.not_banned() if act is None else sentences.answer(act)
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

    @app_commands.command()
    @app_commands.describe(reason="Why; for the log")
    async def pause(self, interaction: Interaction, reason: Reason = "") -> None:
        """Take no new requests in this server; votes go on"""
        await _set(interaction, ActKind.PAUSE, reason, lambda rules: replace(rules, paused=True))

    @app_commands.command()
    @app_commands.describe(reason="Why; for the log")
    async def resume(self, interaction: Interaction, reason: Reason = "") -> None:
        """Take requests again"""
        await _set(interaction, ActKind.RESUME, reason, lambda rules: replace(rules, paused=False))

    @app_commands.command()
    @app_commands.describe(
        requests_per_hour="Requests of one member; 0: no limit",
        requests_per_day="Requests of one member; 0: no limit",
        votes_per_minute="Votes of one member; 0: no limit",
        waiting="Requests of this server in line or running; 0: no limit",
        account_days="Least age of an account to ask and vote; 0: none",
        member_days="Least time in this server to ask and vote; 0: none",
        reason="Why; for the log",
    )
    async def limits(
        self,
        interaction: Interaction,
        requests_per_hour: Limit | None = None,
        requests_per_day: Limit | None = None,
        votes_per_minute: Limit | None = None,
        waiting: Limit | None = None,
        account_days: Limit | None = None,
        member_days: Limit | None = None,
        reason: Reason = "",
    ) -> None:
        """Show the limits of this server, or change those that are given"""

        def changed(rules: ServerRules) -> ServerRules:
            return replace(
                rules,
                requests_per_hour=_limit(requests_per_hour, rules.requests_per_hour),
                requests_per_day=_limit(requests_per_day, rules.requests_per_day),
                votes_per_minute=_limit(votes_per_minute, rules.votes_per_minute),
                waiting=_limit(waiting, rules.waiting),
                account_days=_limit(account_days, rules.account_days),
                member_days=_limit(member_days, rules.member_days),
            )

        await _set(interaction, ActKind.LIMIT, reason, changed)

    @app_commands.command()
    @app_commands.describe(
        channel="Where reports, alarms and what moderators do are told", reason="Why; for the log"
    )
    async def channel(
        self, interaction: Interaction, channel: discord.TextChannel, reason: Reason = ""
    ) -> None:
        """Choose the moderators' channel of this server"""
        try:
            with speaking(server_locale(interaction.client, interaction.guild_id)):
                told_here = sentences.told_here()

            await in_time(interaction, channel.send(told_here, allowed_mentions=NO_MENTIONS))
        except NOT_TAKEN:
            async with answered(interaction):
                await say_privately(interaction, sentences.cannot_write_in(channel.id))

            return

        await _set(
            interaction,
            ActKind.CHANNEL,
            reason,
            lambda rules: replace(rules, moderators_channel=channel.id),
        )


class QueueCommands(app_commands.Group, name="queue", description="The requests of this server"):
    """`/oxherd queue …`"""

    @app_commands.command()
    async def show(self, interaction: Interaction) -> None:
        """Show what waits and runs, with the IDs"""
        async with answered(interaction):
            jobs = interaction.client.context.jobs.of_server(_guild_id(interaction))
            await say_privately(interaction, sentences.queue(jobs))

    @app_commands.command()
    @app_commands.describe(subject="The ID that `queue show` gives", reason="Why; for the log")
    @app_commands.rename(subject="id")
    async def cancel(self, interaction: Interaction, subject: Id, reason: Reason = "") -> None:
        """Cancel one request, whoever asked for it"""
        async with answered(interaction):
            context = interaction.client.context
            job = context.jobs.of_server(_guild_id(interaction)).get(subject)
            if job is None or not job.cancel():
                await say_privately(interaction, sentences.not_in_the_queue())
                return

            await context.store.moderation.cancelled(_order(interaction, reason), set_id=subject)
            await say_privately(interaction, sentences.requests_cancelled(1))

    @app_commands.command()
    @app_commands.describe(member="Whose requests", reason="Why; for the log")
    async def clear(
        self, interaction: Interaction, member: discord.User, reason: Reason = ""
    ) -> None:
        """Cancel all requests of a member"""
        async with answered(interaction):
            context = interaction.client.context
            number = context.jobs.cancel_all(_guild_id(interaction), member.id)
            if number:
                order = _order(interaction, reason)
                await context.store.moderation.cancelled(order, member_id=member.id)

            await say_privately(interaction, sentences.requests_cancelled(number))


async def _set(
    interaction: Interaction,
    kind: ActKind,
    reason: str,
    changed: Callable[[ServerRules], ServerRules],
) -> None:
    """Change the rules of the server, unless they are so already, and show them."""
    async with answered(interaction):
        moderation = interaction.client.context.store.moderation
        before = await moderation.rules(interaction.guild_id)
        rules = changed(before)
        if rules != before:
            order = _order(interaction, reason)
            await in_time(interaction, moderation.set_rules(kind, rules, order))

        await say_privately(interaction, sentences.rules(rules))


def _limit(given: int | None, now: int | None) -> int | None:
    """The limit that holds: the one that is set now unless one was given; 0 ends it."""
    return now if given is None else given or None


def _guild_id(interaction: Interaction) -> int:
    assert interaction.guild_id is not None  # Discord offers the group in servers only

    return interaction.guild_id


def _order(interaction: Interaction, reason: str) -> Order:
    return Order(guild_id=_guild_id(interaction), moderator_id=interaction.user.id, reason=reason)

"""`/oxherd model`: which model makes the images of members who name none, and one step back."""

from dataclasses import replace

from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.moderation import sentences
from bot.chat.moderation.removing import REASON_CHARS
from bot.chat.responses import answered, in_time, say_privately
from bot.settings import Settings
from storage.acts import ActKind, Order

Reason = app_commands.Range[str, 1, REASON_CHARS]


def model_commands(settings: Settings) -> app_commands.Group:
    """`/oxherd model …`, with the models that the settings offer."""
    group = app_commands.Group(
        name="model", description="What makes the images of members who name no model"
    )
    names = [
        app_commands.Choice(name=offered.name, value=offered.name)
        for offered in settings.offered_models
    ]

    @group.command()
    @app_commands.describe(name="The model", reason="Why; for the log")
    @app_commands.choices(name=names)
    async def promote(interaction: Interaction, name: str, reason: Reason = "") -> None:
        """Make a model this server's default"""
        async with answered(interaction):
            limits = interaction.client.context.door.limits
            moderation = interaction.client.context.store.moderation
            before = await moderation.rules(interaction.guild_id)
            now = limits.default_model(before.default_model)
            if name not in limits.models:
                await say_privately(interaction, sentences.no_such_model(name))
                return

            if name != now:
                rules = replace(before, default_model=name, previous_model=now)
                order = _order(interaction, reason)
                await in_time(interaction, moderation.set_rules(ActKind.DEFAULT, rules, order))

            await say_privately(interaction, sentences.default_model(name))

    @group.command()
    @app_commands.describe(reason="Why; for the log")
    async def back(interaction: Interaction, reason: Reason = "") -> None:
        """Go back to the default before the last promotion"""
        async with answered(interaction):
            moderation = interaction.client.context.store.moderation
            before = await moderation.rules(interaction.guild_id)
            if before.previous_model is None:
                await say_privately(interaction, sentences.no_step_back())
                return

            rules = replace(before, default_model=before.previous_model, previous_model=None)
            order = _order(interaction, reason)
            await in_time(interaction, moderation.set_rules(ActKind.DEFAULT, rules, order))
            now = interaction.client.context.door.limits.default_model(rules.default_model)
            await say_privately(interaction, sentences.default_model(now))

    return group


def _order(interaction: Interaction, reason: str) -> Order:
    return Order(guild_id=interaction.guild_id, moderator_id=interaction.user.id, reason=reason)

"""`/oxherd arena`: moderators open a blind comparison of models, look how far it is, and end it."""

import secrets
from collections.abc import Sequence
from typing import Any

import discord
import shortuuid
from discord import app_commands

from bot.chat import texts
from bot.chat.arena import sentences
from bot.chat.arena.plan import planned
from bot.chat.context import Interaction
from bot.chat.languages.commands import filled
from bot.chat.languages.translation import server_locale, speaking
from bot.chat.responses import NO_MENTIONS, NOT_TAKEN, answered, in_time, say_privately
from bot.prompts.refusals import Refused
from bot.settings import Settings
from generation.request import ImageRequest
from storage.acts import Order
from storage.journal.arena.values import NewArena

_PAIRS = 100
_MOST_PROMPTS = 1_000
_FILE_BYTES = 2_000_000

Pairs = app_commands.Range[int, 1, 1_000]
Votes = app_commands.Range[int, 1, 100]
Reason = app_commands.Range[str, 1, 300]


class _NotStarted(Exception):
    """The message is what the moderator reads."""


class ArenaCommands(
    app_commands.Group, name="arena", description="Compare models: nobody knows which is which"
):
    """`/oxherd arena …`"""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.add_command(_start_command(settings))

    @app_commands.command()
    async def status(self, interaction: Interaction) -> None:
        """Show how far this server's arena is, and nothing of who is ahead"""
        async with answered(interaction):
            context = interaction.client.context
            state = await in_time(interaction, context.store.arenas.state(interaction.guild_id))
            if state is None:
                await say_privately(interaction, sentences.none_is_open())
                return

            offered = context.door.limits.models
            absent = [model for model in state.arena.models if model not in offered]
            await say_privately(interaction, sentences.progress(state, absent=absent))

    @app_commands.command()
    @app_commands.describe(reason="Why; for the log")
    async def stop(self, interaction: Interaction, reason: Reason = "") -> None:
        """End this server's arena now, before its rule is met, and post the result"""
        async with answered(interaction):
            arenas = interaction.client.context.store.arenas
            state = await in_time(interaction, arenas.state(interaction.guild_id))
            if state is None:
                await say_privately(interaction, sentences.none_is_open())
                return

            order = _order(interaction, reason)
            await in_time(interaction, arenas.close(state.arena, order, stopped=True))
            await say_privately(interaction, sentences.stopped())


def _start_command(settings: Settings) -> app_commands.Command[Any, ..., None]:
    """`/oxherd arena start`, with the models that the settings offer."""
    names = [
        app_commands.Choice(name=offered.name, value=offered.name)
        for offered in settings.offered_models
    ]
    described = app_commands.describe(
        model_a="One model",
        model_b="The other model",
        model_c="A third model",
        model_d="A fourth model",
        prompts="A text file with a prompt on each line; else what members ask for in this channel",
        pairs=filled(
            "Pairs to compare (default {default}, or one for each prompt)", default=_PAIRS
        ),
        votes=filled("Votes that each pair gets (default {default})", default=settings.raters),
        reason="Why; for the log",
    )
    chosen = app_commands.choices(model_a=names, model_b=names, model_c=names, model_d=names)

    async def start(
        interaction: Interaction,
        model_a: str,
        model_b: str,
        model_c: str | None = None,
        model_d: str | None = None,
        prompts: discord.Attachment | None = None,
        pairs: Pairs | None = None,
        votes: Votes | None = None,
        reason: Reason = "",
    ) -> None:
        models = [model for model in (model_a, model_b, model_c, model_d) if model is not None]
        async with answered(interaction):
            opening = _open(
                interaction,
                settings,
                models,
                prompts=prompts,
                pairs=pairs,
                votes=settings.raters if votes is None else votes,
                reason=reason,
            )
            try:
                await in_time(interaction, opening)
            except _NotStarted as exc:
                await say_privately(interaction, str(exc))
            else:
                await say_privately(interaction, sentences.begun())

    made: app_commands.Command[Any, ..., None] = app_commands.command(
        description="Compare models in this channel: members see two images and prefer one"
    )(described(chosen(start)))

    return made


async def _open(
    interaction: Interaction,
    settings: Settings,
    models: Sequence[str],
    *,
    prompts: discord.Attachment | None,
    pairs: int | None,
    votes: int,
    reason: str,
) -> None:
    """Open the arena and say so in the channel. Raises _NotStarted."""
    context = interaction.client.context
    if len(set(models)) < len(models):
        raise _NotStarted(sentences.same_models())

    for model in models:
        if model not in context.door.limits.models:
            raise _NotStarted(sentences.not_offered(model))

    if await context.store.arenas.state(interaction.guild_id) is not None:
        raise _NotStarted(sentences.one_is_open())

    requests = [] if prompts is None else await _requests(interaction, settings, prompts)
    seed = secrets.randbits(64)
    new = NewArena(
        arena_id=shortuuid.uuid(),
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id or 0,
        moderator_id=interaction.user.id,
        models=models,
        plan={"seed": seed},
        asks=not requests,
        pairs=pairs or len(requests) or _PAIRS,
        votes=votes,
    )
    limits = context.door.limits
    planned_now = (
        planned(requests, models, as_asked_of=limits.as_asked_of, seed=seed, pairs=new.pairs)
        if requests
        else []
    )
    await _announce(interaction, new)
    if not await context.store.arenas.open(new, planned_now, _order(interaction, reason)):
        raise _NotStarted(sentences.one_is_open())


async def _announce(interaction: Interaction, new: NewArena) -> None:
    """Tell the channel. Raises _NotStarted if images cannot be posted there."""
    if not interaction.app_permissions.attach_files:
        raise _NotStarted(sentences.cannot_post())

    with speaking(server_locale(interaction.client, interaction.guild_id)):
        text = sentences.opened(
            models=len(new.models), pairs=new.pairs, votes=new.votes, asks=new.asks
        )

    channel = interaction.client.get_partial_messageable(
        new.channel_id, guild_id=interaction.guild_id
    )
    try:
        await channel.send(text, allowed_mentions=NO_MENTIONS)
    except NOT_TAKEN as exc:
        raise _NotStarted(sentences.cannot_post()) from exc


async def _requests(
    interaction: Interaction, settings: Settings, file: discord.Attachment
) -> list[ImageRequest]:
    """A request for each line of the file. Raises _NotStarted."""
    if file.size > _FILE_BYTES:
        raise _NotStarted(sentences.not_prompts())

    try:
        lines = (await file.read()).decode("utf-8-sig").splitlines()
    except (*NOT_TAKEN, UnicodeDecodeError) as exc:
        raise _NotStarted(sentences.not_prompts()) from exc

    prompts = {line.strip(): number for number, line in reversed([*enumerate(lines, 1)])}
    prompts.pop("", None)
    if not 1 <= len(prompts) <= _MOST_PROMPTS:
        raise _NotStarted(sentences.not_prompts())

    door = interaction.client.context.door
    requests = []
    for prompt, line in sorted(prompts.items(), key=lambda each: each[1]):
        try:
            requests.append(door.admit(prompt=prompt, model=door.limits.models[0]))
        except Refused as exc:
            raise _NotStarted(sentences.bad_prompt(line, texts.refused(exc))) from exc

    return requests


def _order(interaction: Interaction, reason: str) -> Order:
    return Order(guild_id=interaction.guild_id, moderator_id=interaction.user.id, reason=reason)

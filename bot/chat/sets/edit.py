"""Edit: Discord's form with a request filled in, to ask for something else.

The form needs no memory: its custom id has the set's id, so that what was typed into it arrives
after a restart of the bot too.
"""

from collections.abc import Iterable
from typing import Any

import discord
from discord import ui

from bot.chat import texts
from bot.chat.admission.gate import Barred
from bot.chat.context import Interaction
from bot.chat.custom_ids import EditFormId
from bot.chat.responses import answered, entered_in, in_time, say_privately
from bot.chat.sets import sentences
from bot.prompts.door import Limits
from bot.prompts.numbers import Numbers
from bot.prompts.typed import NEGATIVE_PROMPT, NUMBERS, PROMPT
from generation.request import ImageRequest, Variation

_SIZE, _MODEL = "size", "model"


async def open_form(interaction: Interaction, set_id: str) -> None:
    """Answer *Edit* with the form."""
    context = interaction.client.context
    stored = await context.store.find_set(set_id, guild_id=interaction.guild_id)
    if stored is None:
        await say_privately(interaction, texts.unknown_set())
        return

    form = edit_form(set_id, ImageRequest.from_json(stored.request), context.door.limits)
    form.stop()  # discord.py would keep it until it is sent
    await interaction.response.send_modal(form)


def edit_form(set_id: str, request: ImageRequest, limits: Limits) -> ui.Modal:
    """The options of `/imagine`, as the request has them.

    Discord takes five fields, so the numbers share one. The size of a variation is its parent's.
    """
    models = dict.fromkeys((request.model, *limits.models))
    form = ui.Modal(title=sentences.edit(), custom_id=str(EditFormId(set_id)))
    form.add_item(
        ui.Label(text=sentences.prompt(), component=_text(PROMPT, request.prompt, limits))
    )
    if request.negative_prompt or any(limits.taken_by(model).negative_prompt for model in models):
        form.add_item(
            ui.Label(
                text=sentences.negative_prompt(),
                component=_text(NEGATIVE_PROMPT, request.negative_prompt, limits, required=False),
            )
        )

    numbers: ui.TextInput[Any] = ui.TextInput(
        custom_id=NUMBERS, default=str(Numbers.of(request)), max_length=100, required=False
    )
    form.add_item(
        ui.Label(
            text=sentences.numbers(), description=sentences.seed_if_wanted(), component=numbers
        )
    )
    sizes = [str(size) for size in limits.sizes]
    if request.variation is None and sizes != [str(request.size)]:
        menu = _menu(_SIZE, sizes, chosen=str(request.size))
        form.add_item(ui.Label(text=sentences.size(), component=menu))

    if limits.models != (request.model,):
        menu = _menu(_MODEL, limits.models, chosen=request.model)
        form.add_item(ui.Label(text=sentences.model(), component=menu))

    return form


async def submitted(interaction: Interaction, set_id: str) -> None:
    """Ask for what was typed into the form, as a new request of whoever sent it."""
    context = interaction.client.context
    async with answered(interaction):
        stored = await in_time(
            interaction,
            context.store.find_set(set_id, guild_id=interaction.guild_id),
            public=True,
        )
        if stored is None:
            raise Barred(texts.unknown_set())

        before, entered = ImageRequest.from_json(stored.request), entered_in(interaction)
        numbers = Numbers.of(before).changed(entered.get(NUMBERS, ""))
        model = entered.get(_MODEL, before.model)
        asked = Numbers.of(context.door.limits.as_asked_of(numbers.applied_to(before), model))
        variation = None
        if before.variation is not None and numbers.strength is not None:
            variation = Variation(parent_id=before.variation.parent_id, strength=numbers.strength)

        request = context.door.admit(
            prompt=entered.get(PROMPT, ""),
            negative_prompt=entered.get(NEGATIVE_PROMPT, ""),
            seed=numbers.seed,
            steps=asked.steps,
            guidance=asked.guidance,
            size=entered.get(_SIZE, str(before.size)),
            model=model,
            variation=variation,
        )
        await context.imagine(interaction, request)


def _text(custom_id: str, now: str, limits: Limits, *, required: bool = True) -> ui.TextInput[Any]:
    return ui.TextInput(
        custom_id=custom_id,
        style=discord.TextStyle.paragraph,
        default=now or None,
        # The limit may have been higher. Discord refuses a form with more in it than it allows.
        max_length=max(limits.max_prompt_chars, len(now)),
        required=required,
    )


def _menu(custom_id: str, names: Iterable[str], *, chosen: str) -> ui.Select[Any]:
    """chosen: nothing is, if that is no longer offered."""
    return ui.Select(
        custom_id=custom_id,
        options=[discord.SelectOption(label=name, default=name == chosen) for name in names],
    )

"""The slash command /imagine."""

import inspect
from collections.abc import Callable, Iterable, Set
from typing import Any

from discord import app_commands
from discord.app_commands import locale_str

from bot.chat.context import Interaction
from bot.chat.languages.commands import filled
from bot.chat.responses import answered
from bot.prompts.door import Limits
from bot.settings import Settings
from generation.request import MAX_SEED


def imagine_command(settings: Settings, limits: Limits) -> app_commands.Command[Any, ..., None]:
    """/imagine with the moderators' limits, which Discord then checks while a member types.

    They are checked again when the request arrives: the registered command may be an older one.
    It has an option for the model only where there are several, and for guidance and a negative
    prompt only where a model has a use for it.
    """
    names = limits.models
    takes = [limits.taken_by(name) for name in names]
    left_out = {
        *(() if names[1:] else ("model",)),
        *(() if any(each.guidance for each in takes) else ("guidance",)),
        *(() if any(each.negative_prompt for each in takes) else ("negative_prompt",)),
    }
    prompt_text = app_commands.Range[str, 1, settings.max_prompt_chars]
    seed_number = app_commands.Range[int, 0, MAX_SEED]
    step_count = app_commands.Range[int, 1, settings.max_steps]
    scale = app_commands.Range[float, 0.0, settings.max_guidance]

    descriptions: dict[str, str | locale_str] = {
        "prompt": "What the images should show",
        "negative_prompt": "What they should not show",
        "seed": "A number; the same seed makes the same images again",
        "steps": _steps({each.steps for each in takes}),
        "guidance": _guidance({each.default_guidance for each in takes if each.guidance}),
        "size": filled("Width x height in pixels (default {default})", default=settings.sizes[0]),
        "model": "What makes the images; without it, this server's default",
    }
    choices = {"size": _choices(map(str, settings.sizes)), "model": _choices(names)}

    async def imagine(
        interaction: Interaction,
        prompt: prompt_text,
        negative_prompt: prompt_text = "",
        seed: seed_number | None = None,
        steps: step_count | None = None,
        guidance: scale | None = None,
        size: str | None = None,
        model: str | None = None,
    ) -> None:
        async with answered(interaction):
            context = interaction.client.context
            rules = await context.store.moderation.rules(interaction.guild_id)
            # A command that was registered with older settings may still have this option.
            asked_model = getattr(interaction.namespace, "model", None) or model
            request = context.door.admit(
                prompt=prompt,
                negative_prompt=negative_prompt,
                seed=seed,
                steps=steps,
                guidance=guidance,
                size=size,
                model=asked_model or context.door.limits.default_model(rules.default_model),
            )
            await context.imagine(interaction, request)

    _take_out(imagine, left_out)
    for name in left_out:
        descriptions.pop(name)
        choices.pop(name, None)

    described = app_commands.describe(**descriptions)
    chosen = app_commands.choices(**choices)
    made: app_commands.Command[Any, ..., None] = app_commands.command(
        name="imagine", description="Make four images from a prompt, then vote"
    )(described(chosen(imagine)))

    return app_commands.guild_only()(made)


def _choices(names: Iterable[str]) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=name, value=name) for name in names]


def _steps(defaults: Set[int]) -> str | locale_str:
    if len(defaults) == 1:
        return filled("Denoising steps (default {default})", default=min(defaults))

    return "Denoising steps (the default depends on the model)"


def _guidance(defaults: Set[float | None]) -> str | locale_str:
    match [*defaults]:
        case [float(default)]:
            return filled("How closely to follow the prompt (default {default:g})", default=default)
        case _:
            return "How closely to follow the prompt (the default depends on the model)"


def _take_out(callback: Callable[..., Any], names: Set[str]) -> None:
    """Hide parameters with a default from discord.py, which reads options off the signature."""
    whole = inspect.signature(callback)
    rest = [each for each in whole.parameters.values() if each.name not in names]
    callback.__signature__ = whole.replace(parameters=rest)  # type: ignore[attr-defined]

"""The slash command /imagine."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.languages.commands import filled
from bot.chat.responses import answered
from bot.settings import Settings
from generation.request import MAX_SEED


def imagine_command(settings: Settings) -> app_commands.Command[Any, ..., None]:
    """/imagine with the moderators' limits, which Discord then checks while a member types.

    They are checked again when the request arrives: the registered command may be an older one.
    It has an option for the model only where there are several.
    """
    names = [offered.name for offered in settings.offered_models]
    prompt_text = app_commands.Range[str, 1, settings.max_prompt_chars]
    seed_number = app_commands.Range[int, 0, MAX_SEED]
    step_count = app_commands.Range[int, 1, settings.max_steps]
    scale = app_commands.Range[float, 0.0, settings.max_guidance]

    described = app_commands.describe(
        prompt="What the images should show",
        negative_prompt="What they should not show",
        seed="A number; the same seed makes the same images again",
        steps=filled("Denoising steps (default {default})", default=settings.default_steps),
        guidance=filled(
            "How closely to follow the prompt (default {default:g})",
            default=settings.default_guidance,
        ),
        size=filled("Width x height in pixels (default {default})", default=settings.sizes[0]),
        **(
            {"model": "What makes the images; without it, this server's default"}
            if names[1:]
            else {}
        ),
    )
    chosen = app_commands.choices(
        size=_choices(map(str, settings.sizes)),
        **({"model": _choices(names)} if names[1:] else {}),
    )

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
                steps=settings.default_steps if steps is None else steps,
                guidance_scale=settings.default_guidance if guidance is None else guidance,
                size=str(settings.sizes[0]) if size is None else size,
                model=asked_model or context.door.limits.default_model(rules.default_model),
            )
            await context.imagine(interaction, request)

    if not names[1:]:
        _take_out(imagine, "model")

    made: app_commands.Command[Any, ..., None] = app_commands.command(
        name="imagine", description="Make four images from a prompt, then vote"
    )(described(chosen(imagine)))

    return app_commands.guild_only()(made)


def _choices(names: Iterable[str]) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=name, value=name) for name in names]


def _take_out(callback: Callable[..., Any], name: str) -> None:
    """Hide a parameter with a default from discord.py, which reads options off the signature."""
    whole = inspect.signature(callback)
    rest = [parameter for parameter in whole.parameters.values() if parameter.name != name]
    callback.__signature__ = whole.replace(parameters=rest)  # type: ignore[attr-defined]

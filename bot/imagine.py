"""The slash command /imagine."""

from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from bot.answers import answered
from bot.asking import Ask
from bot.settings import Settings
from generation.request import MAX_SEED

if TYPE_CHECKING:
    from bot.client import OxherdClient


def imagine_command(settings: Settings) -> app_commands.Command[Any, ..., None]:
    """/imagine with the moderators' limits, which Discord then checks while a member types.

    They are checked again when the request arrives: the registered command may be an older one.
    """
    prompt_text = app_commands.Range[str, 1, settings.max_prompt_chars]
    seed_number = app_commands.Range[int, 0, MAX_SEED]
    step_count = app_commands.Range[int, 1, settings.max_steps]
    scale = app_commands.Range[float, 0.0, settings.max_guidance]

    @app_commands.command(name="imagine", description="Make four images from a prompt, then vote")
    @app_commands.describe(
        prompt="What the images should show",
        negative_prompt="What they should not show",
        seed="A number; the same seed makes the same images again",
        steps=f"Denoising steps (default {settings.default_steps})",
        guidance=f"How closely to follow the prompt (default {settings.default_guidance:g})",
        size=f"Width x height in pixels (default {settings.sizes[0]})",
    )
    @app_commands.choices(
        size=[app_commands.Choice(name=size, value=size) for size in settings.sizes]
    )
    @app_commands.guild_only()
    async def imagine(
        interaction: discord.Interaction[Any],
        prompt: prompt_text,
        negative_prompt: prompt_text = "",
        seed: seed_number | None = None,
        steps: step_count | None = None,
        guidance: scale | None = None,
        size: str | None = None,
    ) -> None:
        width, height = (size or settings.sizes[0]).split("x")
        client: OxherdClient = interaction.client
        async with answered(interaction):
            await client.studio.imagine(
                interaction,
                Ask(
                    prompt=prompt,
                    negative_prompt=negative_prompt,
                    seed=seed,
                    steps=settings.default_steps if steps is None else steps,
                    guidance_scale=settings.default_guidance if guidance is None else guidance,
                    width_px=int(width),
                    height_px=int(height),
                ),
            )

    return imagine

"""Shows a rater one image after the other, with buttons, in one private message.

A press carries the number of the showing: it leads to the image and to whether it is gold or a
repeat, which members cannot tell.
"""

import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Self

import discord
from discord import ui

from bot.chat import texts, views
from bot.chat.admission.gate import NoticeDue
from bot.chat.buttons import GuidelinesButton
from bot.chat.context import Context, Interaction
from bot.chat.custom_ids import RateId, ShownId
from bot.chat.languages.translation import N_, _
from bot.chat.rating import sentences
from bot.chat.responses import answered, in_time, replace_pressed, say_privately
from generation.request import ImageRequest
from storage.rating.store import Picture, Turn
from storage.vote import Answer, AnsweredBefore, VoteKind, VoteOutcome

# Label, emoji, and what a press answers.
BUTTONS: Mapping[str, tuple[str | None, str | None, Answer]] = {
    "good": (None, "👍", Answer.GOOD),
    "bad": (None, "👎", Answer.BAD),
    "skip": (N_("Skip"), None, Answer.SKIPPED),
    "report": (N_("Report"), None, Answer.REPORTED),
}

_ALT_CHARS = 1024
"""Discord takes no longer alt text."""


class ShownButton(ui.DynamicItem[ui.Button[Any]], template=ShownId.PATTERN):
    """👍, 👎, Skip or Report: answers, and shows the next image in the same message."""

    def __init__(self, action: str, exposure_id: int) -> None:
        self.action = action
        self.exposure_id = exposure_id
        label, emoji, _answer = BUTTONS[action]
        super().__init__(
            ui.Button(
                label=label and _(label), emoji=emoji, custom_id=str(ShownId(action, exposure_id))
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        pressed = ShownId.parse(match.string)

        return cls(pressed.action, pressed.exposure_id)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record the answer, then go on."""
        *_face, given = BUTTONS[self.action]
        async with answered(interaction):
            await _go_on(interaction, self.exposure_id, given)


class RateButton(ui.DynamicItem[ui.Button[Any]], template=RateId.PATTERN):
    """Does what /rate does."""

    def __init__(self) -> None:
        super().__init__(ui.Button(label=_("Rate images"), custom_id=str(RateId())))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls()

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show an image that needs a vote."""
        async with answered(interaction):
            await begin(interaction)


async def begin(interaction: Interaction) -> None:
    """Show the member an image that needs their vote, in a new private message."""
    context: Context = interaction.client.context
    await _admit(interaction, new_message=True)
    turn = await in_time(
        interaction,
        context.store.rating.begin(
            interaction.user.id,
            interaction.guild_id,
            doubtful=context.gate.shows_doubtful(interaction.channel),
        ),
    )
    if turn.ban is not None:
        await say_privately(interaction, texts.banned(turn.ban))
    elif turn.next is None:
        await say_privately(interaction, sentences.nothing_left())
    else:
        shown = turn.next.shown
        await say_privately(
            interaction, sentences.panel(shown), view=_buttons(turn.next), file=_file(turn.next)
        )


async def _go_on(interaction: Interaction, exposure_id: int, given: Answer) -> None:
    """Record what was pressed, and show the next image in place of this one."""
    context: Context = interaction.client.context
    reported = ""
    if given is Answer.REPORTED:
        reported = await in_time(interaction, _report(interaction, exposure_id), new_message=False)
    else:
        await _admit(interaction, new_message=False)

    turn = await in_time(
        interaction,
        context.store.rating.answer(
            exposure_id,
            interaction.user.id,
            given,
            guild_id=interaction.guild_id,
            doubtful=context.gate.shows_doubtful(interaction.channel),
        ),
        new_message=False,
    )
    match turn.outcome:
        case AnsweredBefore() as before:
            await say_privately(interaction, sentences.answered_before(before))
        case VoteOutcome(kind=VoteKind.UNKNOWN_IMAGE):
            await say_privately(interaction, sentences.not_shown())
        case VoteOutcome(kind=VoteKind.BANNED_VOTER) as refused:
            await replace_pressed(interaction, texts.outcome_sentence(refused), files=())
        case _:
            await _replace(interaction, turn, reported or sentences.note(given, turn.outcome))


async def _replace(interaction: Interaction, turn: Turn, note: str) -> None:
    if turn.next is None:
        await replace_pressed(interaction, f"{note}\n{sentences.nothing_left()}", files=())
    else:
        await replace_pressed(
            interaction,
            sentences.panel(turn.next.shown, note=note),
            view=_buttons(turn.next),
            files=[_file(turn.next)],
        )


async def _admit(interaction: Interaction, *, new_message: bool) -> None:
    """Raises what the gate raises for a member who may not vote."""
    gate = interaction.client.context.gate
    try:
        await in_time(interaction, gate.admit_vote(interaction), new_message=new_message)
    except NoticeDue as due:
        due.press = str(RateId())
        raise


async def _report(interaction: Interaction, exposure_id: int) -> str:
    """Tell the moderators of the image's request, unless it was not shown to this member; what the
    member reads."""
    context: Context = interaction.client.context
    set_id = await context.store.rating.shown_set(exposure_id, interaction.user.id)
    stored = None
    if set_id is not None:
        stored = await context.store.find_set(set_id, guild_id=interaction.guild_id)

    return "" if stored is None else await context.report(interaction, stored)


def _buttons(picture: Picture) -> ui.View:
    """👍, 👎, Skip and Report, and the server's guidelines, if there are some."""
    shown = picture.shown

    return views.under_text(
        *(ShownButton(action, shown.exposure_id) for action in BUTTONS),
        *([GuidelinesButton()] if shown.has_guidelines else []),
    )


def _file(picture: Picture) -> discord.File:
    """The image, byte for byte, with the prompt as its alt text."""
    prompt = ImageRequest.from_json(picture.shown.request).prompt

    return discord.File(
        BytesIO(picture.png),
        views.filename(picture.shown.image_id),
        description=prompt[:_ALT_CHARS],
        spoiler=picture.shown.doubtful,
    )

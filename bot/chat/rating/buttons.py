"""Shows a rater one image after the other, with buttons, in one private message; while an arena is
open, pairs of images among them.

A press carries the number of the showing: it leads to the image and to whether it is gold or a
repeat, which members cannot tell. Under a pair it carries the pair's id.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

import discord
from discord import ui

from bot.chat import texts, views
from bot.chat.admission.gate import NoticeDue
from bot.chat.arena import sentences as arena_sentences
from bot.chat.arena import views as arena_views
from bot.chat.arena.pictures import PairPictures, pictures_of
from bot.chat.buttons import GuidelinesButton
from bot.chat.context import Context, Interaction
from bot.chat.custom_ids import RatedPairId, RateId, ShownId
from bot.chat.languages.translation import N_, _
from bot.chat.rating import sentences
from bot.chat.responses import answered, in_time, replace_pressed, say_privately
from generation.request import ImageRequest
from storage.journal.arena.values import PairVoteKind
from storage.rating.store import Picture, Turn
from storage.vote import Answer, AnsweredBefore, Choice, ShownIn, VoteKind, VoteOutcome

# Label, emoji, and what a press answers.
BUTTONS: Mapping[str, tuple[str | None, str | None, Answer]] = {
    "good": (None, "👍", Answer.GOOD),
    "bad": (None, "👎", Answer.BAD),
    "skip": (N_("Skip"), None, Answer.SKIPPED),
    "report": (N_("Report"), None, Answer.REPORTED),
}

PAIR_BUTTONS = {
    **{choice.value: label for choice, label in arena_sentences.CHOICES.items()},
    "skip": N_("Skip"),
    "report": N_("Report"),
}

_BACK = N_("Change my last answer")

_SHARE_OF_PAIRS = 0.5

_ALT_CHARS = 1024
"""Discord takes no longer alt text."""


@dataclass(frozen=True, slots=True)
class _Panel:
    """What is in a rater's message."""

    text: str
    view: ui.View | None = None
    files: Sequence[discord.File] = ()


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


class RatedPairButton(ui.DynamicItem[ui.Button[Any]], template=RatedPairId.PATTERN):
    """Left, Tie, Right, Skip or Report: answers, and shows what is next in the same message. Back:
    shows a pair again that was answered."""

    def __init__(self, pair_id: str, action: str) -> None:
        self.pair_id = pair_id
        self.action = action
        label = _BACK if action == "back" else PAIR_BUTTONS[action]
        super().__init__(ui.Button(label=_(label), custom_id=str(RatedPairId(pair_id, action))))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        pressed = RatedPairId.parse(match.string)

        return cls(pressed.pair_id, pressed.action)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record the answer, then go on."""
        async with answered(interaction):
            if self.action == "back":
                await _go_back(interaction, self.pair_id)
            else:
                await _prefer(interaction, self.pair_id, self.action)


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
    await _admit(interaction, new_message=True)
    turn = await in_time(interaction, _begin(interaction))
    if turn.ban is not None:
        await say_privately(interaction, texts.banned(turn.ban))
        return

    panel = await in_time(interaction, _panel(interaction, turn))
    await say_privately(interaction, panel.text, view=panel.view, files=panel.files)


async def _begin(interaction: Interaction) -> Turn:
    context: Context = interaction.client.context

    return await context.store.rating.begin(
        interaction.user.id,
        interaction.guild_id,
        doubtful=context.gate.shows_doubtful(interaction.channel),
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


async def _prefer(interaction: Interaction, pair_id: str, action: str) -> None:
    """Record which image of a pair is preferred, if one is, and show what is next in its place."""
    context: Context = interaction.client.context
    choice = Choice(action) if action in list(Choice) else None
    reported = ""
    if action == "report":
        reported = await in_time(interaction, _report_set(interaction, pair_id), new_message=False)
    else:
        await _admit(interaction, new_message=False)

    vote = await in_time(
        interaction,
        context.store.arenas.vote(
            pair_id,
            interaction.user.id,
            choice,
            guild_id=interaction.guild_id,
            shown_in=ShownIn.RATE,
        ),
        new_message=False,
    )
    said = reported or arena_sentences.answer(vote)
    match vote.kind:
        case PairVoteKind.ANSWERED | PairVoteKind.UNKNOWN:
            await say_privately(interaction, said)
        case PairVoteKind.BANNED:
            await replace_pressed(interaction, said, files=())
        case _:
            turn = await in_time(interaction, _begin(interaction), new_message=False)
            back = [RatedPairButton(pair_id, "back")] if vote.choice is not None else []
            await _replace(interaction, turn, said, more=back)


async def _go_back(interaction: Interaction, pair_id: str) -> None:
    """Show the pair again, so that the member may change their vote."""
    store = interaction.client.context.store

    async def look() -> PairPictures | None:
        pair = await store.arenas.show_again(pair_id, interaction.user.id, interaction.guild_id)

        return None if pair is None else await pictures_of(store, pair)

    pictures = await in_time(interaction, look(), new_message=False)
    if pictures is None:
        await say_privately(interaction, arena_sentences.gone())
    else:
        panel = _pair_panel(pictures)
        await replace_pressed(interaction, panel.text, view=panel.view, files=panel.files)


async def _replace(
    interaction: Interaction, turn: Turn, note: str, *, more: Sequence[RatedPairButton] = ()
) -> None:
    panel = await in_time(
        interaction, _panel(interaction, turn, note=note, more=more), new_message=False
    )
    await replace_pressed(interaction, panel.text, view=panel.view, files=panel.files)


async def _panel(
    interaction: Interaction,
    turn: Turn,
    *,
    note: str = "",
    more: Sequence[RatedPairButton] = (),
) -> _Panel:
    """What is shown now: while an arena is open, a pair of it every other time. An image that was
    chosen and not shown is what comes next. more: what can be done besides."""
    if turn.next is None or random.random() < _SHARE_OF_PAIRS:
        store = interaction.client.context.store
        pair = await store.arenas.next_pair(interaction.user.id, interaction.guild_id)
        pictures = None if pair is None else await pictures_of(store, pair)
        if pictures is not None:
            return _pair_panel(pictures, note=note, more=more)

    if turn.next is None:
        nothing = sentences.nothing_left()
        text = f"{note}\n{nothing}" if note else nothing
        return _Panel(text, views.under_text(*more) if more else None)

    return _Panel(
        sentences.panel(turn.next.shown, note=note),
        views.under_text(*_buttons(turn.next), *more),
        [_file(turn.next)],
    )


def _pair_panel(
    pictures: PairPictures, *, note: str = "", more: Sequence[RatedPairButton] = ()
) -> _Panel:
    question = arena_sentences.question(pictures.pair)
    buttons = (RatedPairButton(pictures.pair.pair_id, action) for action in PAIR_BUTTONS)

    return _Panel(
        f"-# {note}\n{question}" if note else question,
        views.under_text(*buttons, *more),
        arena_views.files(pictures),
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

    return "" if set_id is None else await _report_set(interaction, set_id)


async def _report_set(interaction: Interaction, subject: str) -> str:
    """Tell the moderators of a request, or of a pair; what the member reads."""
    context: Context = interaction.client.context
    stored = await context.store.find_set(subject, guild_id=interaction.guild_id, paired=True)

    return "" if stored is None else await context.report(interaction, stored)


def _buttons(picture: Picture) -> list[ui.Item[Any]]:
    """👍, 👎, Skip and Report, and the server's guidelines, if there are some."""
    shown = picture.shown

    return [
        *(ShownButton(action, shown.exposure_id) for action in BUTTONS),
        *([GuidelinesButton()] if shown.has_guidelines else []),
    ]


def _file(picture: Picture) -> discord.File:
    """The image, byte for byte, with the prompt as its alt text."""
    prompt = ImageRequest.from_json(picture.shown.request).prompt

    return discord.File(
        BytesIO(picture.png),
        views.filename(picture.shown.image_id),
        description=prompt[:_ALT_CHARS],
        spoiler=picture.shown.doubtful,
    )

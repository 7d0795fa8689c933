"""What oxherd's messages look like. Pure: builds views, sends nothing.

Every view is fresh for each message, has no time-out and holds no dispatchable item that is not a
DynamicItem: anything else makes discord.py 2.7.1 forget the buttons of other messages
(tests/test_view_store.py shows it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

import discord
from discord import ui

from bot.chat import texts
from bot.chat.buttons import GuidelinesButton, ReasonsSelect, SetButton, UndoButton, VoteButton
from generation.request import ImageRequest, Preview
from storage.vote import Ballot, NewImage, NewSet, Rating

_PREVIEW_NAME = "preview.jpg"

_MOST_REASONS = 25
"""What Discord takes in one menu."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedRequest:
    """A request, who asked for it, and the id of its set."""

    set_id: str
    requester_id: int
    request: ImageRequest

    @classmethod
    def of(cls, recorded: NewSet) -> Self:
        """The request as the journal has it."""
        return cls(
            set_id=recorded.set_id,
            requester_id=recorded.requester_id,
            request=ImageRequest.from_json(recorded.request),
        )


def filename(image_id: str) -> str:
    """The attachment's name, which is also the image's name in the dataset."""
    return f"{image_id}.png"


def files(images: Sequence[NewImage], *, prompt: str) -> list[discord.File]:
    """The images as attachments, byte for byte, with the prompt as their alt text."""
    return [
        discord.File(
            BytesIO(image.png), filename(image.image_id), description=texts.alt(image.slot, prompt)
        )
        for image in images
    ]


def result(
    accepted: AcceptedRequest, images: Sequence[NewImage], *, note: str = ""
) -> ui.LayoutView:
    """The images side by side, in reading order, and under them what can be done.

    The images are one gallery, which Discord tiles; a row has the buttons of one rating. So at
    most five images fit, which are the buttons that Discord takes in a row.
    """
    box: ui.Container[Any] = ui.Container(_heading(accepted))
    if note:
        box.add_item(ui.TextDisplay(note))

    prompt = accepted.request.prompt
    box.add_item(
        ui.MediaGallery(
            *(
                discord.MediaGalleryItem(
                    f"attachment://{filename(image.image_id)}",
                    description=texts.alt(image.slot, prompt),
                    spoiler=image.doubtful,
                )
                for image in images
            )
        )
    )
    for rating in Rating:
        buttons = (VoteButton(image.image_id, rating, slot=image.slot) for image in images)
        box.add_item(ui.ActionRow[Any](*buttons))

    box.add_item(ui.Separator())
    set_id = accepted.set_id
    actions = ("again", "edit", "vary", "details")
    box.add_item(ui.ActionRow[Any](*(SetButton(action, set_id) for action in actions)))

    return _view(box)


def progress(
    accepted: AcceptedRequest, sentence: str, *, preview: Preview | None = None
) -> ui.LayoutView:
    """A request that waits or runs, with its Cancel button, and a preview if there is one."""
    cancel = SetButton("cancel", accepted.set_id)
    if preview is None:
        return _told(accepted, sentence, buttons=[cancel])

    shown: ui.MediaGallery[Any] = ui.MediaGallery(
        discord.MediaGalleryItem(
            f"attachment://{_PREVIEW_NAME}", description=texts.preview_note(preview)
        )
    )
    note: ui.TextDisplay[Any] = ui.TextDisplay(f"-# {texts.preview_note(preview)}")

    return _told(accepted, sentence, shown, note, buttons=[cancel])


def preview_files(preview: Preview | None) -> list[discord.File]:
    """The attachment that `progress` refers to; none without a preview."""
    if preview is None:
        return []

    return [
        discord.File(BytesIO(preview.jpeg), _PREVIEW_NAME, description=texts.preview_note(preview))
    ]


def ballot(ballot: Ballot, *, slot: int | None) -> ui.View:
    """What a member can do about their votes. slot: of the image whose vote they may explain."""
    voted = [(mark, mark.rating) for mark in ballot.marks if mark.rating is not None]

    return under_text(
        *(UndoButton(mark.image_id, rating, slot=mark.slot) for mark, rating in voted),
        *([GuidelinesButton()] if ballot.has_guidelines else []),
        *(
            ReasonsSelect.of(mark, rating, reasons[:_MOST_REASONS])
            for mark, rating in voted
            if mark.slot == slot and (reasons := ballot.reasons_for(mark))
        ),
    )


def boxed(*parts: ui.Item[Any]) -> ui.LayoutView:
    """Texts, images and rows of buttons in one box."""
    return _view(ui.Container(*parts))


def under_text(*items: ui.Item[Any]) -> ui.View:
    """Buttons and menus under a message that has nothing but text."""
    view = ui.View(timeout=None)
    for item in items:
        view.add_item(item)

    return view


def elsewhere(accepted: AcceptedRequest) -> ui.LayoutView:
    """In place of a request whose images are in a newer message."""
    return _view(ui.Container(_heading(accepted), ui.TextDisplay(texts.elsewhere())))


def ended(accepted: AcceptedRequest, sentence: str) -> ui.LayoutView:
    """A request that ended without images; it can be asked for again, and changed."""
    buttons = [SetButton(action, accepted.set_id) for action in ("again", "edit")]

    return _told(accepted, sentence, buttons=buttons)


def removed() -> ui.LayoutView:
    """In place of images that moderators have removed, all of them."""
    return _view(ui.Container(ui.TextDisplay(texts.removed())))


def forgotten() -> ui.LayoutView:
    """In place of a request that the journal does not have."""
    return _view(ui.Container(ui.TextDisplay(texts.forgotten())))


def _told(
    accepted: AcceptedRequest,
    sentence: str,
    *below: ui.Item[Any],
    buttons: Sequence[SetButton],
) -> ui.LayoutView:
    row: ui.ActionRow[Any] = ui.ActionRow(*buttons)

    return _view(ui.Container(_heading(accepted), ui.TextDisplay(sentence), *below, row))


def _heading(accepted: AcceptedRequest) -> ui.TextDisplay[Any]:
    return ui.TextDisplay(texts.heading(accepted.request, requester_id=accepted.requester_id))


def _view(box: ui.Container[Any]) -> ui.LayoutView:
    view = ui.LayoutView(timeout=None)
    view.add_item(box)

    return view

"""What an arena's messages look like. Pure: builds views, sends nothing.

The two files of a pair are named after their images, whose ids are random.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import discord
from discord import ui

from bot.chat import views
from bot.chat.arena import sentences
from bot.chat.arena.buttons import PairButton
from bot.chat.arena.pictures import PairPictures
from storage.journal.arena.values import Example, Pair
from storage.vote import Choice


def files(pictures: PairPictures) -> list[discord.File]:
    """The left image and the right one, byte for byte."""
    return [
        discord.File(
            BytesIO(png),
            views.filename(image_id),
            description=sentences.alt(choice, pictures.pair.prompt),
        )
        for choice, image_id, png in (
            (Choice.LEFT, pictures.pair.left_image, pictures.left),
            (Choice.RIGHT, pictures.pair.right_image, pictures.right),
        )
    ]


def post(pair: Pair) -> ui.LayoutView:
    """A pair side by side, with its buttons."""
    return views.boxed(
        ui.TextDisplay[Any](sentences.question(pair)),
        _side_by_side(pair),
        ui.ActionRow[Any](*(PairButton(pair.pair_id, choice) for choice in sentences.CHOICES)),
    )


def removed() -> ui.LayoutView:
    """In place of a pair, an image of which moderators have removed."""
    return views.boxed(ui.TextDisplay[Any](sentences.removed()))


def result(text: str, examples: Sequence[Example]) -> ui.LayoutView:
    """The result, and some pairs of which everybody may know now who made what."""
    parts: list[ui.Item[Any]] = [ui.TextDisplay(text)]
    for example in examples:
        parts += [
            ui.Separator(),
            ui.TextDisplay(sentences.example(example)),
            _side_by_side(example.pair),
        ]

    return views.boxed(*parts)


def _side_by_side(pair: Pair) -> ui.MediaGallery[Any]:
    return ui.MediaGallery(
        *(
            discord.MediaGalleryItem(
                f"attachment://{views.filename(image_id)}",
                description=sentences.alt(choice, pair.prompt),
            )
            for choice, image_id in (
                (Choice.LEFT, pair.left_image),
                (Choice.RIGHT, pair.right_image),
            )
        )
    )

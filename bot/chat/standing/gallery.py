"""Shows ranked images: who may see which, the pictures, and the message."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import discord
from discord import ui
from PIL import Image

from bot.chat import texts
from bot.chat.standing import sentences
from generation.request import ImageRequest
from storage.journal.standing.figures import RankedImage
from storage.store import VoteStore

# Discord tiles so many, and takes 10 MB in all: as JPEG with this side they stay below 2 MB.
MOST = 9
_SIDE_PX = 768

Channel = (
    discord.TextChannel
    | discord.VoiceChannel
    | discord.StageChannel
    | discord.ForumChannel
    | discord.CategoryChannel
    | discord.Thread
)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with its bytes, small enough for a message with several."""

    image: RankedImage
    jpeg: bytes


def may_see(
    guild: discord.Guild,
    image: RankedImage,
    *,
    reader: discord.Member | discord.Role,
    shown_in: Channel | None,
) -> bool:
    """Whether the image may be shown there to somebody who may see its channel.

    An image of a channel that is unknown now, or of a private thread, is shown there alone; one of
    an age-restricted channel only in such a one.
    """
    channel = guild.get_channel_or_thread(image.channel_id)
    if channel is None or channel is shown_in:
        return channel is not None

    if isinstance(channel, discord.Thread) and (channel.is_private() or channel.parent is None):
        return False

    return channel.permissions_for(reader).view_channel and (
        not channel.is_nsfw() or (shown_in is not None and shown_in.is_nsfw())
    )


async def pictures(store: VoteStore, images: Sequence[RankedImage]) -> list[Picture]:
    """Those of the images whose bytes are here. Raises RepositoryError."""
    found = []
    for image in images:
        png = await store.image(image.image_id)
        if png is not None:
            found.append(Picture(image, await asyncio.to_thread(_jpeg, png)))

    return found


def _jpeg(png: bytes) -> bytes:
    with Image.open(BytesIO(png)) as image:
        small = image.convert("RGB")

    small.thumbnail((_SIDE_PX, _SIDE_PX))
    file = BytesIO()
    small.save(file, "JPEG", quality=88)

    return file.getvalue()


def files(pictures: Sequence[Picture]) -> list[discord.File]:
    """The attachments that `view` refers to."""
    return [discord.File(BytesIO(each.jpeg), _name(each)) for each in pictures]


def view(
    heading: str,
    pictures: Sequence[Picture],
    guild_id: int,
    *,
    title: str = "",
    plot: discord.MediaGalleryItem | None = None,
) -> ui.LayoutView:
    """The pictures as one gallery, with a line for each. title: of the gallery. plot: below it."""
    box: ui.Container[Any] = ui.Container(ui.TextDisplay(heading))
    if pictures:
        if title:
            box.add_item(ui.TextDisplay(title))

        box.add_item(
            ui.MediaGallery(
                *(
                    discord.MediaGalleryItem(
                        f"attachment://{_name(each)}", description=_alt(number, each.image)
                    )
                    for number, each in enumerate(pictures, start=1)
                )
            )
        )
        lines = (
            sentences.image(number, each.image, guild_id)
            for number, each in enumerate(pictures, start=1)
        )
        box.add_item(ui.TextDisplay("\n".join(lines)))

    if plot is not None:
        box.add_item(ui.MediaGallery(plot))

    shown = ui.LayoutView(timeout=None)
    shown.add_item(box)

    return shown


def _alt(number: int, image: RankedImage) -> str:
    return texts.alt(number, ImageRequest.from_json(image.request).prompt)


def _name(picture: Picture) -> str:
    return f"{picture.image.image_id}.jpg"

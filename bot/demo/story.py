"""The demo's story: members vote, `oxherd tune` learns what they like, an arena proves it blind.

The members are simulated and like warm colours. They do what people do: type commands and press
buttons. Whoever watches can vote along.
"""

import asyncio
import io
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import discord
from discord import ui
from PIL import Image, ImageStat

from bot.app import Parts
from bot.chat import views
from bot.chat.custom_ids import PairId, VoteId
from bot.demo.page import LivePage
from bot.settings import PREFIX
from generation import emoji
from storage.export.selection import Options, same_prompt, split_of
from storage.vote import Choice, Rating

if TYPE_CHECKING:
    from simcord.actors import MemberActor
    from simcord.builders import ChannelHandle

log = logging.getLogger(__name__)

NAME = "warmer"
"""Of the tuned model, and of its folder."""

CAST = ("ember", "saffron", "copper")
SETS, PAIRS, SHOWN = 60, 40, 8
TUNE: Sequence[str] = ()
"""More options for `oxherd tune`."""

_WRONG = 0.1
"""The share of their votes that is not what they like."""

_SEED = 20261129
_OWNER = 0
"""Whose the images of the last picture are in the queue: nobody's id."""

_EVERY_S = 0.2
_COMMITTED_WITHIN_S = 120.0

_NOUNS = """
apple banana cherry grape lemon mango peach pear pineapple tomato carrot mushroom onion pizza
sandwich cookie cake doughnut pretzel ant bear bee bird bug camel cat cow crab dog dolphin dragon
duck elephant fish fox frog giraffe goat gorilla hedgehog horse kangaroo koala lion lizard monkey
mouse octopus owl panda parrot penguin pig rabbit shark sheep snail snake spider squid swan tiger
turtle unicorn whale wolf zebra cactus rose sunflower tulip volcano house castle church tent
bridge bus car taxi tractor train bicycle ship rocket airplane helicopter anchor axe bell book
bomb camera candle clock crown drum guitar hammer key ladder lamp lipstick lock magnet microphone
microscope pencil robot shoe snowman sword telescope telephone toothbrush trophy trumpet
violin watch
"""

BEGIN = """\
**The story begins.** {cast} like warm colours, and one vote in ten is a slip. They ask for {sets} \
prompts and vote on every image. Vote along, for or against them!"""

LEARN = """\
**Their votes are in the dataset**, in commit `{commit}`. Now `oxherd tune` learns from them, with \
Diffusion-DPO on this machine's processor. That takes a few minutes; you may go on voting."""

COMPARE = """\
**The new model is there: {name}**, a LoRA of {kilobytes} kB. Is it better? Nobody knows which \
model made which image of a pair. The prompts are other ones than before. Prefer \
one!"""

BROKEN = "**The story ends here**, because `oxherd tune` failed. The terminal says why."

END = """\
**Before and after**: above what {base} draws, below what **{name}** draws, of the same prompts \
with the same seeds. Every number above was counted just now, and the votes on pairs are in the \
dataset too. To go on, ask **{name}** with `/imagine`, or be **moderator** and make it the \
default: `/oxherd model promote`."""


class Story:
    """It goes on where it was when the bot is started again."""

    def __init__(
        self,
        page: LivePage,
        channel: "ChannelHandle",
        moderator: "MemberActor",
        cast: Sequence["MemberActor"],
        data: Path,
    ) -> None:
        self._page = page
        self._channel = channel
        self._moderator = moderator
        self._cast = cast
        self._data = data
        self._chance = Random(_SEED)
        nouns = _NOUNS.split()
        self._chance.shuffle(nouns)
        self._held_out = [prompt for prompt in map(_asked, nouns) if _is_held_out(prompt)]
        self._left = [prompt for prompt in map(_asked, nouns) if not _is_held_out(prompt)][:SETS]
        self._seen: set[int] = set()
        self._over = False

    @property
    def tuned(self) -> Path | None:
        """The folder of the tuned model, once it is there."""
        folder = self._data / NAME

        return folder if folder.exists() else None

    @asynccontextmanager
    async def told(
        self, parts: Parts, client: discord.Client, restart: asyncio.Event
    ) -> AsyncIterator[None]:
        """Tell it while the context lasts. Sets the event when the bot must offer a new model."""
        telling = asyncio.create_task(self._tell(parts, client, restart), name="story")
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, parts: Parts, client: discord.Client, restart: asyncio.Event) -> None:
        try:
            if self.tuned is None:
                await self._label(parts, client)
                if await self._tune(parts, client):
                    restart.set()
            elif not self._over:
                await self._compare(parts, client)
                await self._show(parts, client)
                self._over = True
        except Exception:
            log.exception("the story cannot go on")

    async def _label(self, parts: Parts, client: discord.Client) -> None:
        """Members ask and vote."""
        if len(self._left) == SETS:
            names = f"**{'**, **'.join(member.name for member in self._cast)}**"
            await self._say(client, BEGIN.format(cast=names, sets=SETS))

        while self._left:
            member = self._cast[len(self._left) % len(self._cast)]
            async with self._page.turn():
                asked = await member.slash(self._channel, "imagine", prompt=self._left[0])

            await parts.requests.finish()
            assert asked.response is not None
            await self._rate(parts, member, asked.response.message)
            del self._left[0]

    async def _rate(self, parts: Parts, member: "MemberActor", message: discord.Message) -> None:
        """The member likes the warmer half of the images, and sometimes slips."""
        votes = [VoteId.parse(id) for id in _buttons(message) if VoteId.PATTERN.fullmatch(id)]
        warmth = {vote.image_id: await _warmth(parts, vote.image_id) for vote in votes}
        middle = sorted(warmth.values())[len(warmth) // 2]
        async with self._page.turn():  # one for all presses, because the page is made anew after it
            for image_id, warm in warmth.items():
                likes = (warm >= middle) != self._slips
                custom_id = VoteId(image_id, Rating.GOOD if likes else Rating.BAD)
                await member.click(message, custom_id=str(custom_id))

    async def _tune(self, parts: Parts, client: discord.Client) -> bool:
        """Run the command as an operator would; false if it fails."""
        await parts.store.settle(_COMMITTED_WITHIN_S)
        commit = (await parts.store.status()).last_commit_id
        await self._say(client, LEARN.format(commit=commit))
        command = [
            *(sys.executable, "-m", "bot", "tune", "--out", str(self._data.resolve() / NAME)),
            *("--dataset", str(self._data.resolve() / "dataset"), "--base", str(emoji.MODEL)),
            *("--devices", "cpu", *TUNE),
        ]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(PREFIX)
        }
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, cwd=self._data, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            failed = await process.wait()
        finally:
            if process.returncode is None:  # the demo stops; the same command would go on
                process.terminate()
                await process.wait()

        if failed:
            await self._say(client, BROKEN)

        return not failed

    async def _compare(self, parts: Parts, client: discord.Client) -> None:
        """A moderator opens an arena, and members compare until it is over."""
        arenas = parts.store.arenas
        if not await arenas.unfinished():
            assert self.tuned is not None
            size = sum(file.stat().st_size for file in self.tuned.iterdir())
            await self._say(client, COMPARE.format(name=NAME, kilobytes=size // 1000))
            async with self._page.turn():
                await self._moderator.slash(
                    self._channel,
                    "oxherd arena start",
                    model_a=emoji.MODEL.name,
                    model_b=NAME,
                    prompts=("prompts.txt", "\n".join(self._held_out).encode()),
                    pairs=PAIRS,
                    votes=len(self._cast),
                )

        while await arenas.unfinished():
            for message in self._channel.history():
                if message.id not in self._seen:
                    self._seen.add(message.id)
                    await self._prefer(parts, message)

            await asyncio.sleep(_EVERY_S)

    async def _prefer(self, parts: Parts, message: discord.Message) -> None:
        """All prefer the warmer image, if the message shows a pair, and sometimes slip."""
        pairs = [PairId.parse(id) for id in _buttons(message) if PairId.PATTERN.fullmatch(id)]
        if not pairs:
            return

        left, right = [
            await _warmth(parts, Path(file.filename).stem) for file in message.attachments
        ]
        async with self._page.turn():
            for member in self._cast:
                choice = Choice.LEFT if (left > right) != self._slips else Choice.RIGHT
                await member.click(message, custom_id=str(PairId(pairs[0].pair_id, choice)))

    async def _show(self, parts: Parts, client: discord.Client) -> None:
        """The same prompts and seeds by both models, in one picture."""
        prompts = self._held_out[:SHOWN]
        sheet = Image.new("RGB", (emoji.SIDE_PX * len(prompts), 2 * emoji.SIDE_PX))
        for row, model in enumerate((emoji.MODEL.name, NAME)):
            for column, prompt in enumerate(prompts):
                four = parts.requests.door.admit(prompt=prompt, seed=column, model=model)
                request = replace(four, seeds=four.seeds[:1])
                made = await parts.executor.submit(request, owner=_OWNER).result()
                picture = Image.open(io.BytesIO(made.images[0].png))
                sheet.paste(picture, (emoji.SIDE_PX * column, emoji.SIDE_PX * row))

        png = io.BytesIO()
        sheet.save(png, "PNG")
        png.seek(0)
        file = discord.File(png, "before-and-after.png", description="; ".join(prompts))
        text = END.format(base=f"**{emoji.MODEL.name}**", name=NAME)
        gallery = ui.MediaGallery[Any](discord.MediaGalleryItem(file))
        async with self._page.turn():
            await _room(client, self._channel).send(
                view=views.boxed(ui.TextDisplay[Any](text), gallery), file=file
            )

    async def _say(self, client: discord.Client, text: str) -> None:
        async with self._page.turn():
            await _room(client, self._channel).send(text)

    @property
    def _slips(self) -> bool:
        return self._chance.random() < _WRONG


def _asked(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def _is_held_out(prompt: str) -> bool:
    """Whether `oxherd tune` does not learn it."""
    return split_of(same_prompt(prompt), Options()) != "train"


async def _warmth(parts: Parts, image_id: str) -> float:
    """How much more red than blue the image has."""
    png = await parts.store.image(image_id)
    assert png is not None
    red, _, blue = ImageStat.Stat(Image.open(io.BytesIO(png)).convert("RGB")).mean

    return float(red - blue)


def _buttons(message: discord.Message) -> Iterator[str]:
    """The custom ids of a message's buttons."""
    for item in ui.LayoutView.from_message(message).walk_children():
        if custom_id := getattr(item, "custom_id", None):
            yield custom_id


def _room(client: discord.Client, channel: "ChannelHandle") -> discord.PartialMessageable:
    return client.get_partial_messageable(channel.id)

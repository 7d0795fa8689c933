"""The naive bot: `asyncio.to_thread` around Oxen, and the click acknowledged afterwards.

    python -m benchmarks.support.naive_bot run

Started like the whole program, on the same stand-in for Discord, with the same buttons. It finds
the images in $NAIVE_IMAGES and keeps the tutorial's repository in $OXHERD_DATA.
"""

import asyncio
import os
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import discord
from discord import ui
from discord.http import Route

from benchmarks.support.tutorial import TutorialRepository
from bot.chat.custom_ids import VoteId
from tests.support.discord.launch import watch_loops


class NaiveButton(ui.DynamicItem[ui.Button[Any]], template=VoteId.PATTERN):
    """A vote button whose press waits for the commit."""

    def __init__(self, vote: VoteId) -> None:
        self.vote = vote
        super().__init__(ui.Button(custom_id=str(vote)))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls(VoteId.parse(match.string))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Commit, then say so."""
        await asyncio.to_thread(interaction.client.keep, self.vote, interaction.user.id)
        # Too late is "unknown interaction": the member has read "This interaction failed".
        with suppress(discord.NotFound):
            await interaction.response.send_message("Recorded.", ephemeral=True)


class NaiveBot(discord.AutoShardedClient):
    """One repository, and a lock, for Oxen allows one user of it at a time."""

    def __init__(self, repository: TutorialRepository, images: Path) -> None:
        super().__init__(intents=discord.Intents(guilds=True), max_messages=None)
        self._repository = repository
        self._images = {path.stem: path for path in images.rglob("*.png")}
        self._lock = threading.Lock()

    async def setup_hook(self) -> None:
        """Know the buttons."""
        self.add_dynamic_items(NaiveButton)

    def keep(self, vote: VoteId, voter_id: int) -> None:
        """Add and commit one vote."""
        with self._lock:
            self._repository.vote(
                self._images[vote.image_id],
                prompt="a fox in the snow",
                rating=str(vote.rating),
                voter_id=voter_id,
            )


async def run() -> None:
    """Until SIGTERM; votes that wait for their turn are then lost."""
    client = NaiveBot(
        TutorialRepository(Path(os.environ["OXHERD_DATA"]) / "dataset"),
        Path(os.environ["NAIVE_IMAGES"]),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    async with client:
        await client.start(os.environ["OXHERD_TOKEN"])


def main() -> None:
    """As tests.support.discord.launch, for this bot."""
    Route.BASE = os.environ["STUB_URL"]
    if stalls := os.environ.get("STALLS"):
        watch_loops(Path(stalls))

    discord.utils.setup_logging()
    asyncio.run(run())


if __name__ == "__main__":
    main()

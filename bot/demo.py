"""The bot in a simulated Discord, in the browser: real callbacks, journal and Oxen repository.

simcord plays Discord and serves the page. Only the pictures are not a model's: the placeholder
draws them and says so on each.
"""

import asyncio
import logging
import os
import sys
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import discord

from bot import control, report
from bot.app import following, opened, stopped_by_signals, wind_down
from bot.client import OxherdClient
from bot.settings import Settings

if TYPE_CHECKING:
    from simcord import Env
    from simcord.preview import Preview

# The page is published anew when the bot did something by itself; looked at this often.
REFRESH_EVERY_S = 0.25
PATIENCE = 400

WELCOME = """\
**Welcome to oxherd's demo.** This is a simulated Discord: nothing leaves your machine.
1. Type `/imagine` below, fill in a prompt and send it.
2. When the four images are there, press 👍 or 👎 under them. Only you see the answer, \
at the end of the channel.
3. Be somebody else with the member menu, and vote again."""


class CannotDemo(Exception):
    """The demo cannot start; the message says what to do."""


def demo_settings(data: Path) -> Settings:
    """A bot that draws slowly enough for its progress to be seen. Reads no environment."""
    return Settings(
        data=data,
        backend="placeholder",
        devices=("cpu",),
        placeholder_step_seconds=0.3,
        default_steps=20,
        shutdown_grace_s=0,
        commit_name="oxherd demo",
    )


async def run_demo(
    *,
    data: Path,
    port: int,
    members: Sequence[str],
    open_browser: bool,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the demo until it is stopped. Raises CannotDemo and StorageError."""
    if not members:
        raise CannotDemo("The demo needs at least one member, such as --members alice,bob.")

    stop, restart = asyncio.Event(), asyncio.Event()
    with stopped_by_signals(stop), _keys(restart):
        async with _simulated_discord(members, port) as (env, preview):
            say(f"\n  The demo:   {preview.url}")
            say(f"  Its folder: {data}  (the dataset is in dataset/)")
            say(f"  Its log:    OXHERD_DATA={data} oxherd log\n")
            say("  r + Enter restarts the bot, Ctrl-C stops it.\n")
            if open_browser:
                webbrowser.open(preview.url)

            while not stop.is_set():
                restart.clear()
                await _live(env, demo_settings(data), stop, restart)
                if restart.is_set():
                    say("  The bot was restarted; its messages and buttons are still there.")


async def _live(
    env: "Env", settings: Settings, stop: asyncio.Event, restart: asyncio.Event
) -> None:
    """One life of the bot, from opening its journal to closing it."""
    async with opened(settings) as parts:
        client = OxherdClient(settings, store=parts.store, studio=parts.studio, shard_count=1)
        handlers = report.handlers(settings, parts.store, parts.executor, client)
        async with following(parts.studio), control.served(settings.data, handlers):
            await _between_actions(lambda: env.restart_bot(client))
            await client.tree.sync()
            await _first_of(stop, restart)
            await wind_down(parts, settings)


@asynccontextmanager
async def _simulated_discord(
    members: Sequence[str], port: int
) -> AsyncIterator[tuple["Env", "Preview"]]:
    """A server with a channel and its members, and the page that shows it."""
    # simcord tries a client without intents first, which discord.py warns about.
    logging.getLogger("discord.state").setLevel(logging.ERROR)
    try:
        import simcord
        from simcord import SetupError
    except ImportError as exc:
        raise CannotDemo("The demo needs simcord: pip install 'oxherd[demo]'.") from exc

    # Stands in until the first real client is attached, and holds the world meanwhile.
    nobody = discord.AutoShardedClient(intents=discord.Intents(guilds=True), shard_count=1)
    async with simcord.run(nobody, check_errors=False, settle_timeout=30) as env:
        with env.time_context():
            env.backend.bot_user.name = "oxherd"
            guild = env.create_guild("oxherd demo")
            channel = guild.create_text_channel("labelling")
            people = [guild.add_member(env.create_user(name)) for name in members]
            room = nobody.get_channel(channel.id)
            assert isinstance(room, discord.TextChannel)
            await room.send(WELCOME)
            preview = env.preview(channel, viewers=people, layout="channel", port=port or None)
            try:
                await preview.__aenter__()
            except SetupError as exc:
                raise CannotDemo(f"{exc}; --port 0 takes a free one.") from exc

            pump = asyncio.create_task(_keep_fresh(env, preview), name="preview pump")
            try:
                yield env, preview
            finally:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
                await preview.close()


async def _keep_fresh(env: "Env", preview: "Preview") -> None:
    """Publish what the bot does by itself, such as progress; only when something changed."""
    seen = 0
    while True:
        await asyncio.sleep(REFRESH_EVERY_S)
        changes = len(env.backend.transcript)
        if changes != seen:
            await _between_actions(preview.refresh)
            seen = changes


async def _between_actions(act: Callable[[], Awaitable[None]]) -> None:
    """Do it when no member's action is under way; simcord runs one thing at a time."""
    from simcord import SetupError

    for _ in range(PATIENCE):
        with suppress(SetupError):
            await act()
            return

        await asyncio.sleep(REFRESH_EVERY_S)


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


@contextmanager
def _keys(restart: asyncio.Event) -> Iterator[None]:
    """A line that says r, typed into the terminal, sets the event."""
    loop = asyncio.get_running_loop()
    try:
        terminal = sys.stdin.fileno()
    except (AttributeError, ValueError, OSError):
        yield
        return

    def read() -> None:
        typed = os.read(terminal, 1024)
        if not typed:
            loop.remove_reader(terminal)
        elif typed.strip().lower() == b"r":
            restart.set()

    try:
        loop.add_reader(terminal, read)
    except OSError:  # a plain file or /dev/null cannot be waited for
        yield
        return

    try:
        yield
    finally:
        loop.remove_reader(terminal)

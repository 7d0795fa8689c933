"""The bot in a simulated Discord, in the browser: real callbacks, journal and Oxen repository.

simcord stands in for Discord and serves the page. The model that ships with oxherd makes the images
in a worker process, as on a real server. Without torch, the placeholder can draw them.
"""

import asyncio
import logging
import os
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import discord

from bot.app import arenas_kept, following, opened, stopped_by_signals, wind_down
from bot.chat import moderators
from bot.chat.client import OxherdClient
from bot.cli import control_server
from bot.demo.page import LivePage
from bot.demo.story import CAST, Story
from bot.errors import CannotDemo
from bot.settings import Settings
from generation import emoji
from generation.request import Size

if TYPE_CHECKING:
    from simcord import Env
    from simcord.actors import MemberActor
    from simcord.builders import ChannelHandle

WELCOME = """\
**Welcome to oxherd's demo.** This is a simulated Discord: nothing leaves your machine.
1. Type `/imagine` below, fill in a prompt and send it. {model}
2. When the four images are there, press 👍 or 👎 under them. Only you see the answer, \
at the end of the channel.
3. Be somebody else with the member menu, and vote again.
4. Be **moderator** there, and type `/oxherd`: everything that moderators can do in their server."""

MODERATOR = "moderator"

EMOJI = 'The model here is tiny and knows emoji: try "a strawberry" or "a castle, flat".'
PLACEHOLDER = "No model is used here: the images are drawn without one, whatever the prompt says."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """The simulated Discord and its page. cast: the members of the story, if it is told."""

    env: "Env"
    page: LivePage
    channel: "ChannelHandle"
    moderator: "MemberActor"
    cast: "Sequence[MemberActor]"


def demo_settings(
    data: Path, *, placeholder: bool = False, more_models: Sequence[Path] = ()
) -> Settings:
    """The model that ships, or the placeholder at the same size. Ignores the environment."""
    return Settings(
        data=data,
        backend="placeholder" if placeholder else "diffusers",
        model=str(emoji.MODEL),
        more_models=tuple(str(folder.resolve()) for folder in more_models),
        devices=("cpu",),
        placeholder_step_seconds=0.3,  # slow enough to see the progress
        default_steps=emoji.STEPS,
        default_guidance=emoji.GUIDANCE,
        sizes=(Size(emoji.SIDE_PX, emoji.SIDE_PX),),
        vary_strength=emoji.VARY_STRENGTH,
        max_requests_per_minute=1_000,  # the members of the story ask for one after the other
        shutdown_grace_s=0,
        commit_name="oxherd demo",
    )


async def run_demo(
    *,
    data: Path,
    port: int,
    members: Sequence[str],
    open_browser: bool,
    placeholder: bool = False,
    story: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the demo until it is stopped. Raises CannotDemo and StorageError."""
    if story and placeholder:
        raise CannotDemo("The story tunes a model, and --placeholder draws without one.")

    if not members:
        raise CannotDemo("The demo needs at least one member, such as --members alice,bob.")

    if not placeholder and not all(map(find_spec, ("torch", "diffusers", "transformers"))):
        raise CannotDemo(
            "The demo's model needs torch: pip install 'oxherd[demo,gpu]', "
            "or draw without a model with --placeholder."
        )

    stop, restart = asyncio.Event(), asyncio.Event()
    cast = CAST if story else ()
    with stopped_by_signals(stop), _keys(restart):
        async with _simulated_discord(members, cast, port, placeholder=placeholder) as stage:
            page = stage.page
            told = Story(page, stage.channel, stage.moderator, stage.cast, data) if story else None

            def welcome() -> None:
                say(f"\n  The demo:   {page.url}")
                say(f"  Its folder: {data}  (the dataset is in dataset/)")
                say(f"  Its log:    OXHERD_DATA={data} oxherd log\n")
                say("  r + Enter restarts the bot, Ctrl-C stops it.\n")
                if open_browser:
                    webbrowser.open(page.url)

            def welcome_back() -> None:
                say("  The bot was restarted; its messages and buttons are still there.")

            started = welcome
            while not stop.is_set():
                tuned = [] if told is None or told.tuned is None else [told.tuned]
                settings = demo_settings(data, placeholder=placeholder, more_models=tuned)
                await _run_bot(stage, settings, told, stop, restart, started=started)
                started = welcome_back


async def _run_bot(
    stage: _Stage,
    settings: Settings,
    story: Story | None,
    stop: asyncio.Event,
    restart: asyncio.Event,
    *,
    started: Callable[[], None],
) -> None:
    """Run the bot until it is stopped or restarted; presses wait until the next run."""
    async with opened(settings) as parts:
        client = OxherdClient(settings, store=parts.store, requests=parts.requests, shard_count=1)
        async with (
            following(parts.requests),
            control_server.served(settings, parts.store, parts.executor, client),
        ):
            await stage.env.restart_bot(client)
            await client.tree.sync()
            async with (
                moderators.watching(settings, parts.store, client),
                arenas_kept(parts, client),
                stage.page.in_use(),
                nullcontext() if story is None else story.told(parts, client, restart),
            ):
                restart.clear()
                started()
                await _first_of(stop, restart)

            await wind_down(parts, settings)


@asynccontextmanager
async def _simulated_discord(
    members: Sequence[str], cast: Sequence[str], port: int, *, placeholder: bool
) -> AsyncIterator[_Stage]:
    """A server with a channel, its members and a moderator, and the page that shows it to them.

    cast: more members, whom nobody can be on the page.
    """
    # simcord tries a client without intents first, which discord.py warns about.
    logging.getLogger("discord.state").setLevel(logging.ERROR)
    try:
        import simcord
        from simcord import SetupError
    except ImportError as exc:
        raise CannotDemo("The demo needs simcord: pip install 'oxherd[demo]'.") from exc

    # Stands in until the bot's first client is attached.
    nobody = discord.AutoShardedClient(intents=discord.Intents(guilds=True), shard_count=1)
    async with simcord.run(nobody, check_errors=False, settle_timeout=30) as env:
        with env.time_context():
            env.backend.bot_user.name = "oxherd"
            guild = env.create_guild("oxherd demo")
            channel = guild.create_text_channel("labelling")
            people = [guild.add_member(env.create_user(name)) for name in members]
            may_moderate = discord.Permissions(manage_guild=True, manage_messages=True)
            role = guild.create_role("moderators", permissions=may_moderate)
            moderator = guild.add_member(env.create_user(MODERATOR), roles=[role])
            people.append(moderator)
            room = nobody.get_channel(channel.id)
            assert isinstance(room, discord.TextChannel)
            await room.send(WELCOME.format(model=PLACEHOLDER if placeholder else EMOJI))
            preview = env.preview(channel, viewers=people, layout="channel", port=port or None)
            async with AsyncExitStack() as stack:
                try:
                    page = await stack.enter_async_context(LivePage.open(env, preview))
                except SetupError as exc:
                    raise CannotDemo(f"{exc}; --port 0 takes a free one.") from exc

                yield _Stage(
                    env=env,
                    page=page,
                    channel=channel,
                    moderator=moderator,
                    cast=[guild.add_member(env.create_user(name)) for name in cast],
                )


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


@contextmanager
def _keys(restart: asyncio.Event) -> Iterator[None]:
    """Set the event when somebody types r and Enter in the terminal."""
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
    except OSError:  # a plain file or /dev/null cannot be polled
        yield
        return

    try:
        yield
    finally:
        loop.remove_reader(terminal)

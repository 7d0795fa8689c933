"""The composition root: everything that is ever open, in the order in which it opens.

Storage, then generation, then Discord; they close the other way round, so that no click arrives
while the worker winds down, and no vote while the store flushes.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import aiohttp
import discord

from bot.chat import moderators
from bot.chat.client import OxherdClient
from bot.chat.requests import Studio
from bot.cli import control, status
from bot.prompts.blocked_words import BlockedWords
from bot.settings import Settings, SettingsError
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from generation.request import Limits
from generation.safety.screen import SafetySpec
from generation.worker.backend import BackendSpec
from storage.dataset.card import CardFacts
from storage.dataset.writer_process import RepositorySettings
from storage.folder import DataFolder
from storage.remote.pusher import Remote
from storage.remote.pusher_process import PusherProcess
from storage.remote.settings import RemoteSettings
from storage.store import VoteStore

log = logging.getLogger(__name__)


# What the last uploads and answers may take once the images are made.
POSTING_S = 10.0


class CannotConnect(Exception):
    """Discord could not be reached; trying again later may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is open while the bot runs."""

    store: VoteStore
    executor: Executor
    studio: Studio


async def run(settings: Settings) -> None:
    """The bot, until SIGTERM or Ctrl-C.

    Raises SettingsError for a token that Discord refuses, CannotConnect when Discord is away,
    and StorageError when the journal or the repository cannot be opened.
    """
    token = settings.usable_token
    stop = asyncio.Event()
    with stopped_by_signals(stop):
        async with opened(settings) as parts:
            client = OxherdClient(settings, store=parts.store, studio=parts.studio)
            handlers = status.handlers(settings, parts.store, parts.executor, client)
            async with (
                client,
                following(parts.studio),
                moderators.watching(settings, parts.store, client),
                control.served(settings.data, handlers),
            ):
                await _connected_until(stop, client, token)
                await wind_down(parts, settings)
                await client.hang_up()
                await _within(POSTING_S, client.in_hand.finished())


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    """Storage and generation, ready for a Discord client. Raises SettingsError."""
    blocked = blocked_words(settings)
    async with (
        VoteStore.open(
            settings.data,
            repository=repository_settings(settings),
            keep_unvoted=timedelta(days=settings.keep_unvoted_days),
            remote=remote(settings),
            commit_timeout_s=settings.commit_timeout_s,
            flush_timeout_s=settings.flush_s,
        ) as store,
        Executor.open(
            backend_spec(settings),
            more=more_specs(settings),
            devices=settings.devices,
            limits=ExecutorLimits(
                max_waiting=settings.max_waiting,
                max_waiting_per_person=settings.max_waiting_per_person,
                max_running_per_person=settings.max_running_per_person,
                deadline_s=settings.deadline_s,
                silence_s=settings.silence_s,
                grace_s=0,  # wind_down has given them theirs
            ),
            request_limits=request_limits(settings),
        ) as executor,
    ):
        studio = Studio(store=store, executor=executor, blocked=blocked)
        yield Parts(store=store, executor=executor, studio=studio)


@asynccontextmanager
async def following(studio: Studio) -> AsyncIterator[None]:
    """Requests are followed while the context lasts."""
    followers = asyncio.create_task(studio.run(), name="followers")
    try:
        yield
    finally:
        followers.cancel()
        await asyncio.gather(followers, return_exceptions=True)


async def wind_down(parts: Parts, settings: Settings) -> None:
    """Take no new requests; give the running ones their time, then post or explain them."""
    parts.executor.stop_accepting()
    log.info("stopping; running requests get %g s", settings.shutdown_grace_s)
    await parts.executor.drain(settings.shutdown_grace_s)
    await _within(POSTING_S, parts.studio.finish())


def backend_spec(settings: Settings) -> BackendSpec:
    """What the worker processes open."""
    folder = DataFolder(settings.data.resolve())
    options: dict[str, str | float] = (
        {"seconds_per_step": settings.placeholder_step_seconds}
        if settings.backend == "placeholder"
        else {
            "offload": "model" if settings.offload else "none",
            "preview_factors": str(folder.preview_factors),
            "model_hashes": str(folder.model_hashes),
            "compile": settings.compile,
            "compiled_folder": str(folder.compiled),
            "compiled_size": settings.sizes[0],
        }
    )
    shows_what_may_be_withheld = settings.preview == "auto" and settings.safety_model is not None
    options["preview"] = "never" if shows_what_may_be_withheld else settings.preview

    return BackendSpec(
        kind=settings.backend,
        model=settings.model,
        revision=settings.revision,
        dtype=settings.dtype,
        options=options,
        safety=_safety(settings),
    )


def _safety(settings: Settings) -> SafetySpec | None:
    if settings.safety_model is None:
        return None

    return SafetySpec(
        model=settings.safety_model,
        revision=settings.safety_revision,
        labels=settings.safety_labels,
        threshold=settings.safety_threshold,
    )


def more_specs(settings: Settings) -> dict[str, BackendSpec]:
    """The models beside the default, by the names that members choose."""
    default = backend_spec(settings)

    return {
        offered.name: replace(default, model=offered.model, revision=offered.revision)
        for offered in settings.offered_models[1:]
    }


def blocked_words(settings: Settings) -> BlockedWords:
    """What prompts may not have; nothing where no list is set. Raises SettingsError."""
    if settings.blocked_words is None:
        return BlockedWords()

    return BlockedWords.read(settings.blocked_words.expanduser())


def request_limits(settings: Settings) -> Limits:
    """What one request may ask for."""
    return Limits(
        max_prompt_chars=settings.max_prompt_chars,
        max_steps=settings.max_steps,
        max_guidance=settings.max_guidance,
        sizes_px=tuple(_pixels(size) for size in settings.sizes),
        models=tuple(offered.name for offered in settings.offered_models[1:]),
    )


def repository_settings(settings: Settings) -> RepositorySettings:
    """What the writer process opens, or creates."""
    return RepositorySettings(
        user_name=settings.commit_name,
        user_email=settings.commit_email,
        card=CardFacts(licence=settings.dataset_licence),
    )


def remote(settings: Settings, *, timeout_s: float | None = None) -> Remote | None:
    """Where the dataset is pushed to, if anywhere. A call to it gets `timeout_s`, or as set."""
    if settings.remote is None:
        return None

    token = settings.remote_token
    where = RemoteSettings.at(
        settings.remote,
        branch=settings.remote_branch,
        token="" if token is None else token.get_secret_value().strip(),
        create=settings.remote_create,
    )
    start = partial(
        PusherProcess.start,
        DataFolder(settings.data),
        where,
        timeout_s=settings.push_timeout_s if timeout_s is None else timeout_s,
    )

    return Remote(settings=where, start=start)


async def _within(seconds: float, people_answered: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await people_answered
    except TimeoutError:
        log.warning("some people could not be answered before the stop")


async def _connected_until(stop: asyncio.Event, client: OxherdClient, token: str) -> None:
    try:
        await client.login(token)
    except discord.LoginFailure as exc:
        raise SettingsError(
            "Discord does not accept OXHERD_TOKEN. It may have been reset: copy the present one "
            "from the developer portal (your application, Bot, Reset Token)."
        ) from exc
    except (aiohttp.ClientError, OSError, discord.HTTPException) as exc:
        raise CannotConnect(f"Discord could not be reached: {exc}.") from exc

    connection = asyncio.create_task(client.connect(), name="gateway")
    stopping = asyncio.create_task(stop.wait(), name="stop signal")
    try:
        await asyncio.wait({connection, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if connection.done():
            raise CannotConnect("The connection to Discord ended.") from connection.exception()
    finally:
        stopping.cancel()


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C set the event while the context lasts."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _pixels(size: str) -> tuple[int, int]:
    width, height = size.split("x")

    return int(width), int(height)

"""The composition root: opens storage, then generation, then Discord, and closes them.

They close in reverse order, so that no click arrives while the workers stop, and no vote while the
store flushes.
"""

import asyncio
import logging
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import aiohttp
import discord

from bot.chat import moderators
from bot.chat.admission.gate import Gate
from bot.chat.arena.keeper import keeping
from bot.chat.client import OxherdClient
from bot.chat.requests import Requests
from bot.chat.standing import weekly
from bot.cli import control_server
from bot.configuration import cluster, door, model_specs, remote, repository_settings
from bot.errors import CannotConnect
from bot.monitoring import metrics
from bot.settings import Settings, SettingsError
from generation.queue.executor import Executor
from generation.queue.limits import ExecutorLimits
from storage.dataset.memory import MemoryRepository
from storage.journal.rating.showings import Aims
from storage.store import VoteStore
from storage.vote import VoterIds

log = logging.getLogger(__name__)

TOKEN_REFUSED = (
    "Discord does not accept OXHERD_TOKEN. It may have been reset: copy the current one from the "
    "developer portal (your application, Bot, Reset Token)."
)

# A gateway's close code.
AUTHENTICATION_FAILED = 4004

# On a stop, the last uploads and the last answers each get this long.
POSTING_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is open while the bot runs."""

    store: VoteStore
    executor: Executor
    requests: Requests


async def run(settings: Settings) -> None:
    """Run the bot until SIGTERM or Ctrl-C.

    Raises SettingsError for a token that Discord refuses or a data folder that cannot be used,
    CannotConnect when Discord cannot be
    reached, and StorageError when the journal or the repository cannot be opened.
    """
    token = settings.usable_token
    make_data_folder(settings)
    stop = asyncio.Event()
    with stopped_by_signals(stop):
        async with opened(settings) as parts:
            client = OxherdClient(settings, store=parts.store, requests=parts.requests)
            async with (
                client,
                following(parts.requests),
                moderators.watching(settings, parts.store, client),
                weekly.posting(parts.store, client, parts.requests.gate),
                arenas_kept(parts, client),
                control_server.served(settings, parts.store, parts.executor, client),
                metrics.served(
                    settings,
                    partial(
                        control_server.current_status,
                        *(settings, parts.store, parts.executor, client),
                    ),
                ),
            ):
                await _connected_until(stop, client, token)
                await wind_down(parts, settings)
                await client.hang_up()
                await _within(POSTING_S, client.context.in_hand.finished())


def make_data_folder(settings: Settings) -> None:
    """Make it if it is absent. Raises SettingsError if it cannot be used."""
    folder = settings.data
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"OXHERD_DATA: {folder} is a file, not a folder.")

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise SettingsError(
            f"OXHERD_DATA: the folder {folder} cannot be written: {exc.strerror}. Choose a "
            "different folder, or let this user write there."
        ) from exc


@asynccontextmanager
async def opened(
    settings: Settings, *, repository: MemoryRepository | None = None
) -> AsyncIterator[Parts]:
    """Storage and generation, ready for a Discord client. Raises SettingsError.

    repository: the dataset, for tests; without one it is an Oxen repository in the data folder.
    """
    entrance = await asyncio.to_thread(door, settings)
    async with (
        VoteStore.open(
            settings.data,
            repository=repository or repository_settings(settings),
            keep_unvoted=timedelta(days=settings.keep_unvoted_days),
            keep_requests=_kept(settings.keep_requests_days),
            keep_closed=_kept(settings.keep_closed_days),
            voter_ids=VoterIds(settings.voter_ids),
            aims=Aims(
                raters=settings.raters,
                gold_share=settings.gold_share,
                repeat_share=settings.repeat_share,
            ),
            remote=remote(settings),
            commit_every_s=settings.commit_every_s,
            commit_timeout_s=settings.commit_timeout_s,
            flush_timeout_s=settings.flush_s,
        ) as store,
        Executor.open(
            model_specs(settings),
            devices=settings.local_devices,
            cluster=cluster(settings),
            limits=ExecutorLimits(
                max_waiting=settings.max_waiting,
                max_waiting_per_person=settings.max_waiting_per_person,
                groups=max(1, len(settings.guilds)),
                max_running_per_person=settings.max_running_per_person,
                deadline_s=settings.deadline_s,
                silence_s=settings.silence_s,
                grace_s=0,  # wind_down has waited for them
            ),
        ) as executor,
    ):
        gate = Gate(
            store,
            guilds=settings.guilds,
            requests_per_minute=settings.max_requests_per_minute,
            doubtful_everywhere=settings.doubtful_images == "spoiler",
        )
        requests = Requests(store=store, executor=executor, door=entrance, gate=gate)
        yield Parts(store=store, executor=executor, requests=requests)


def _kept(days: float | None) -> timedelta:
    return timedelta.max if days is None else timedelta(days=days)


@asynccontextmanager
async def following(requests: Requests) -> AsyncIterator[None]:
    """Follow requests while the context lasts."""
    followers = asyncio.create_task(requests.run(), name="followers")
    try:
        yield
    finally:
        followers.cancel()
        await asyncio.gather(followers, return_exceptions=True)


def arenas_kept(parts: Parts, client: discord.Client) -> AbstractAsyncContextManager[None]:
    """Keep the arenas going while the context lasts."""
    requests = parts.requests

    return keeping(parts.store, parts.executor, requests.door, requests.gate, client)


async def wind_down(parts: Parts, settings: Settings) -> None:
    """Take no new requests, give the running ones their time, then post or explain them."""
    parts.executor.stop_accepting()
    log.info("stopping; running requests get %g s", settings.shutdown_grace_s)
    await parts.executor.drain(settings.shutdown_grace_s)
    await _within(POSTING_S, parts.requests.finish())


async def _within(seconds: float, people_answered: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await people_answered
    except TimeoutError:
        log.warning("some members could not be answered before the stop")


async def _connected_until(stop: asyncio.Event, client: OxherdClient, token: str) -> None:
    try:
        await client.login(token)
    except discord.LoginFailure as exc:
        raise SettingsError(TOKEN_REFUSED) from exc
    except (aiohttp.ClientError, OSError, discord.HTTPException) as exc:
        raise CannotConnect(f"Discord could not be reached: {exc}.") from exc

    connection = asyncio.create_task(client.connect(), name="gateway")
    stopping = asyncio.create_task(stop.wait(), name="stop signal")
    try:
        await asyncio.wait({connection, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if connection.done():
            raise _ended_by(connection.exception())
    finally:
        stopping.cancel()


def _ended_by(cause: BaseException | None) -> Exception:
    """The error for a connection that ended by itself, with its cause, which is logged too."""
    log.error("the connection to Discord ended", exc_info=cause)
    if isinstance(cause, discord.ConnectionClosed) and cause.code == AUTHENTICATION_FAILED:
        error: Exception = SettingsError(TOKEN_REFUSED)
    else:
        why = "it was closed" if cause is None else f"{type(cause).__name__}: {cause}"
        error = CannotConnect(f"The connection to Discord ended: {why}")

    error.__cause__ = cause

    return error


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

"""The running bot's end of the control socket: what it tells and does for its operator.

What a client reads is a JSON value, or with status 500 one sentence of text.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.chat import texts
from bot.chat.client import OxherdClient
from bot.chat.moderation import removing
from bot.cli.control import (
    FORGOTTEN,
    LOG,
    NOTHING,
    SENTENCE,
    SNAPSHOT,
    STATUS,
    VERSION,
    Removal,
    socket_path,
)
from bot.cli.status import Discord, LastCommit, Queue, Remote, Status, Votes, Writer
from bot.settings import Settings
from generation.queue.executor import Executor
from generation.queue.status import WorkerState
from storage.acts import Order
from storage.status import RemoteStatus
from storage.store import VoteStore

log = logging.getLogger(__name__)

# A stop waits this long for answers that are being made.
LAST_ANSWERS_S = 1.0


@asynccontextmanager
async def served(
    settings: Settings, store: VoteStore, executor: Executor, client: OxherdClient
) -> AsyncIterator[None]:
    """Answer while the context lasts. The journal's lock already keeps a second bot away."""

    async def get_status(_: web.Request) -> web.Response:
        return _json(STATUS.dump_json(await current_status(settings, store, executor, client)))

    async def post_snapshot(_: web.Request) -> web.Response:
        return _json(SNAPSHOT.dump_json(await store.snapshot()))

    async def get_log(request: web.Request) -> web.Response:
        return _json(LOG.dump_json(await store.log(int(request.match_info["limit"]))))

    async def post_backup(request: web.Request) -> web.Response:
        await store.backup(Path(await request.text()))

        return _json(NOTHING.dump_json(None))

    async def post_remove(request: web.Request) -> web.Response:
        said = await removing.remove(client, *await _order(request))

        return _json(SENTENCE.dump_json(said))

    async def post_restore(request: web.Request) -> web.Response:
        said = await removing.restore(client, *await _order(request))

        return _json(SENTENCE.dump_json(said))

    async def post_forget(request: web.Request) -> web.Response:
        user_id = int(request.match_info["user_id"])
        client.context.jobs.cancel_all(None, user_id)
        forgotten = await store.forget(user_id, requests=request.match_info["kind"] == "everything")

        return _json(FORGOTTEN.dump_json(forgotten))

    async def post_consent(request: web.Request) -> web.Response:
        guild_id = int(request.match_info["guild_id"])
        order = Order(guild_id=guild_id, moderator_id=None)
        version = await store.moderation.set_consent_text(await request.text(), order)

        return _json(VERSION.dump_json(version))

    application = web.Application(middlewares=[_failures_told])
    application.router.add_get("/status", get_status)
    application.router.add_post("/snapshot", post_snapshot)
    application.router.add_get(r"/log/{limit:[0-9]{1,9}}", get_log)
    application.router.add_post("/backup", post_backup)
    application.router.add_post("/remove", post_remove)
    application.router.add_post("/restore", post_restore)
    application.router.add_post(
        r"/forget/{user_id:[0-9]{1,19}}/{kind:votes|everything}", post_forget
    )
    application.router.add_post(r"/consent/{guild_id:[0-9]{1,19}}", post_consent)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=LAST_ANSWERS_S)
    await runner.setup()
    with socket_path(settings.data) as socket:
        try:
            # A socket that a killed bot left is replaced.
            await web.UnixSite(runner, socket).start()
            socket.chmod(0o600)
            yield
        finally:
            await runner.cleanup()
            socket.unlink(missing_ok=True)


async def _order(request: web.Request) -> tuple[str, Order]:
    """The id of what the operator acts on, and the order."""
    removal = Removal.model_validate_json(await request.read())

    return removal.subject, Order(guild_id=None, moderator_id=None, reason=removal.reason)


async def current_status(
    settings: Settings, store: VoteStore, executor: Executor, client: OxherdClient
) -> Status:
    """The bot's status now, with everything that an operator should know of in `problems`."""
    stored = await store.status()
    queue = executor.status()
    connected = client.is_connected()
    free_mb = stored.disk_free_bytes // 10**6
    problems = [
        *([] if connected else ["The gateway is not connected."]),
        *(
            f"The worker on {worker.device} is {worker.state}: {worker.last_error}"
            for worker in queue.workers
            if worker.state in (WorkerState.FAILED, WorkerState.RESTARTING)
        ),
        *([f"Workers wait: {away}."] if (away := queue.cluster_problem) else []),
        *([] if stored.writer_alive else ["The writer is down."]),
        *([stored.last_error] if stored.last_error else []),
        *([] if stored.remote is None else _remote_problems(stored.remote, settings)),
        *([] if free_mb >= settings.min_free_mb else [f"Only {free_mb} MB of disk are free."]),
    ]

    return Status(
        discord=Discord(connected=connected, servers=len(client.guilds)),
        queue=Queue(
            waiting=queue.waiting,
            running=queue.running,
            seconds_per_request=queue.seconds_per_request,
        ),
        workers=queue.workers,
        writer=Writer(alive=stored.writer_alive, pid=stored.writer_pid),
        votes=Votes(
            waiting=stored.votes_waiting,
            oldest_waiting_s=_age_s(stored.oldest_waiting_at),
            missing=str(stored.missing) if stored.missing.images else None,
        ),
        last_commit=LastCommit(
            id=stored.last_commit_id,
            age_s=_age_s(stored.last_commit_at),
            error=stored.last_error,
        ),
        remote=None if stored.remote is None else _remote(stored.remote),
        disk_free_mb=free_mb,
        problems=tuple(problems),
    )


def _remote(remote: RemoteStatus) -> Remote:
    mark = remote.watermark

    return Remote(
        url=remote.url,
        branch=mark.branch,
        moved=mark.moved,
        votes_waiting=mark.votes_waiting,
        commits_waiting=mark.commits_waiting,
        oldest_waiting_s=_age_s(mark.waiting_since),
        pushed_id=mark.commit_id,
        pushed_age_s=_age_s(mark.pushed_at),
        error=remote.last_error,
    )


def _remote_problems(remote: RemoteStatus, settings: Settings) -> list[str]:
    """Empty for a remote that is away for a moment: the age of the backlog decides."""
    age_s = _age_s(remote.watermark.waiting_since)
    if age_s is None or age_s < settings.remote_alarm_s:
        return []

    return [texts.remote_behind(remote, age_s=age_s)]


def _age_s(moment: datetime | None) -> float | None:
    return None if moment is None else (datetime.now(UTC) - moment).total_seconds()


@web.middleware
async def _failures_told(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as exc:
        log.exception("control request %s failed", request.path)
        return web.Response(
            status=HTTPStatus.INTERNAL_SERVER_ERROR, text=str(exc) or type(exc).__name__
        )


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")

"""What the running bot tells another shell: its state, snapshots, and the last commits."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.chat import texts
from bot.chat.client import OxherdClient
from bot.cli.control import Handler
from bot.settings import Settings
from generation.queue.executor import Executor
from generation.queue.status import WorkerState
from storage.dataset.repository import CommitInfo
from storage.status import RemoteStatus
from storage.store import VoteStore


def handlers(
    settings: Settings, store: VoteStore, executor: Executor, client: OxherdClient
) -> dict[str, Handler]:
    """The control socket's commands."""

    async def status(_: Mapping[str, Any]) -> dict[str, Any]:
        return await gathered(settings, store, executor, client)

    async def snapshot(_: Mapping[str, Any]) -> str | None:
        return await store.snapshot()

    async def log(request: Mapping[str, Any]) -> list[dict[str, str]]:
        return plain(await store.log(int(request["limit"])))

    return {"status": status, "snapshot": snapshot, "log": log}


def plain(commits: Sequence[CommitInfo]) -> list[dict[str, str]]:
    """Commits as JSON values; times are ISO 8601, UTC."""
    return [
        {
            "id": commit.id,
            "at": commit.at.astimezone(UTC).isoformat(timespec="seconds"),
            "message": commit.message,
        }
        for commit in commits
    ]


async def gathered(
    settings: Settings, store: VoteStore, executor: Executor, client: OxherdClient
) -> dict[str, Any]:
    """The state as plain JSON values; `problems` is empty when all is well."""
    kept = await store.status()
    made = executor.status()
    connected = client.is_connected()
    free_mb = kept.disk_free_bytes // 10**6
    problems = [
        *([] if connected else ["The gateway is not connected."]),
        *(
            f"The worker on {worker.device} is {worker.state}: {worker.last_error}"
            for worker in made.workers
            if worker.state in (WorkerState.FAILED, WorkerState.RESTARTING)
        ),
        *([] if kept.writer_alive else ["The writer is down."]),
        *([kept.last_error] if kept.last_error else []),
        *([] if kept.remote is None else _remote_problems(kept.remote, settings)),
        *([] if free_mb >= settings.min_free_mb else [f"Only {free_mb} MB of disk are free."]),
    ]

    return {
        "discord": {"connected": connected, "servers": len(client.guilds)},
        "queue": {
            "waiting": made.waiting,
            "running": made.running,
            "seconds_per_request": made.seconds_per_request,
        },
        "workers": [
            {
                "device": worker.device,
                "state": str(worker.state),
                "pid": worker.pid,
                "restarts": worker.restarts,
                "models": list(worker.models),
                "serving": worker.serving,
                "last_error": worker.last_error,
            }
            for worker in made.workers
        ],
        "writer": {"alive": kept.writer_alive, "pid": kept.writer_pid},
        "votes": {
            "waiting": kept.votes_waiting,
            "oldest_waiting_s": _age_s(kept.oldest_waiting_at),
        },
        "last_commit": {
            "id": kept.last_commit_id,
            "age_s": _age_s(kept.last_commit_at),
            "error": kept.last_error,
        },
        "remote": None if kept.remote is None else _remote(kept.remote),
        "disk_free_mb": free_mb,
        "problems": problems,
    }


def _remote(remote: RemoteStatus) -> dict[str, Any]:
    mark = remote.mark

    return {
        "url": remote.url,
        "branch": mark.branch,
        "moved": mark.moved,
        "votes_waiting": mark.votes_waiting,
        "commits_waiting": mark.commits_waiting,
        "oldest_waiting_s": _age_s(mark.waiting_since),
        "pushed_id": mark.commit_id,
        "pushed_age_s": _age_s(mark.pushed_at),
        "error": remote.last_error,
    }


def _remote_problems(remote: RemoteStatus, settings: Settings) -> list[str]:
    """A remote that is away for a moment is none; the backlog's age decides."""
    age_s = _age_s(remote.mark.waiting_since)
    if age_s is None or age_s < settings.remote_alarm_s:
        return []

    return [texts.remote_behind(remote, age_s=age_s)]


def _age_s(moment: datetime | None) -> float | None:
    return None if moment is None else (datetime.now(UTC) - moment).total_seconds()

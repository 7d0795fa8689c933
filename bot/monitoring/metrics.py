"""`/metrics`: the running bot's status in the format of Prometheus.

What is told is what `oxherd status` tells, at the moment of the scrape, so the two never differ.
docs/grafana.json is a dashboard of it.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bot.cli.status import Status
from bot.settings import Settings, SettingsError
from generation.queue.status import WorkerState

log = logging.getLogger(__name__)


@asynccontextmanager
async def served(
    settings: Settings, status: Callable[[], Awaitable[Status]]
) -> AsyncIterator[None]:
    """Answer while the context lasts, if a port is set. Raises SettingsError if it is taken."""
    if settings.metrics_port is None:
        yield
        return

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=exposition(await status()), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await _listen(runner, settings.metrics_host, settings.metrics_port)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as exc:
        raise SettingsError(
            f"OXHERD_METRICS_PORT: {host}:{port} cannot be listened on: {exc.strerror}."
        ) from exc

    log.info("metrics are at http://%s:%d/metrics", host, port)


def exposition(status: Status) -> bytes:
    """The status, and what the bot's process uses, as Prometheus reads it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(status))
    ProcessCollector(registry=registry)

    return generate_latest(registry)


class _Told:
    """A collector that tells one status."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield _gauge("connected", "whether the gateway to Discord is up", status.discord.connected)
        yield _gauge("servers", "Discord servers that the bot is in", status.discord.servers)
        yield _gauge("requests_waiting", "requests in the queue", status.queue.waiting)
        yield _gauge("requests_running", "requests that are being made", status.queue.running)
        yield _gauge(
            "seconds_per_request",
            "mean of each worker's last request",
            status.queue.seconds_per_request,
        )
        yield from self._workers()
        yield _gauge("writer_up", "whether the process that commits is alive", status.writer.alive)
        yield _gauge("votes_uncommitted", "votes that wait for a commit", status.votes.waiting)
        yield _gauge(
            "votes_uncommitted_oldest_seconds",
            "age of the oldest of these",
            status.votes.oldest_waiting_s or 0,
        )
        yield _gauge("last_commit_age_seconds", "age of the last commit", status.last_commit.age_s)
        if (remote := status.remote) is not None:
            yield _gauge("commits_unpushed", "commits not pushed yet", remote.commits_waiting)
            yield _gauge(
                "commits_unpushed_oldest_seconds",
                "age of the oldest of these",
                remote.oldest_waiting_s or 0,
            )

        yield _gauge("disk_free_bytes", "free under the data folder", status.disk_free_mb * 10**6)
        yield _gauge("problems", "what `oxherd status --check` finds", len(status.problems))

    def _workers(self) -> Iterator[Metric]:
        by_state = Counter(worker.state for worker in self._status.workers)
        states = GaugeMetricFamily("oxherd_workers", "workers by what they do", labels=["state"])
        for state in WorkerState:
            states.add_metric([state], by_state[state])

        yield states
        restarts = GaugeMetricFamily(
            "oxherd_worker_restarts",
            "how often a worker was replaced since the bot started",
            labels=["worker"],
        )
        for worker in self._status.workers:
            restarts.add_metric([worker.device], worker.restarts)

        yield restarts


def _gauge(name: str, help_text: str, value: float | None) -> Metric:
    """One number. None, for what is not known yet, is NaN, which Prometheus leaves out of plots."""
    gauge = GaugeMetricFamily(f"oxherd_{name}", help_text)
    gauge.add_metric([], float("nan") if value is None else float(value))

    return gauge

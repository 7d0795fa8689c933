"""Checks a cluster for `oxherd doctor`, in a process that may import Ray."""

from multiprocessing.connection import Connection

from generation.cluster.main import NOT_INSTALLED, prepare
from generation.cluster.settings import ClusterSettings
from generation.worker.backend import Finding
from generation.worker.check_process import NoAnswer, answer_of

_ANSWERS_WITHIN_S = 120.0


def check_cluster(settings: ClusterSettings) -> Finding:
    """Whether the cluster answers, asks for a token, and has room for the workers.

    What is installed on its hosts is checked when a worker starts there; `status` shows it.
    """
    try:
        found: Finding = answer_of(
            _check, settings, name="cluster-check", within_s=_ANSWERS_WITHIN_S
        )
    except NoAnswer as exc:
        return _finding(settings, str(exc), ok=False)

    return found


def _check(settings: ClusterSettings, pipe: "Connection[Finding, object]") -> None:
    prepare()
    try:
        from generation.cluster.connection import ClusterAway, connected, nodes
    except ImportError as exc:
        pipe.send(_finding(settings, f"{NOT_INSTALLED} ({exc})", ok=False))
        return

    try:
        with connected(settings.address):
            hosts = [node for node in nodes() if node.gpus or not settings.gpus]
    except ClusterAway as exc:
        pipe.send(_finding(settings, str(exc), ok=False))
        return

    gpus = sum(node.gpus for node in hosts)
    labels = ", ".join(node.label for node in hosts)
    detail = f"asks for its token, and has {gpus:g} GPUs on {len(hosts)} hosts ({labels})"
    if not settings.gpus or (room := int(gpus / settings.gpus)) >= settings.workers:
        pipe.send(_finding(settings, detail, ok=True))
    else:
        waiting = f"; {settings.workers - room} of {settings.workers} workers wait for more"
        pipe.send(_finding(settings, detail + waiting, ok=True))


def _finding(settings: ClusterSettings, detail: str, *, ok: bool) -> Finding:
    return Finding(subject="cluster", ok=ok, detail=f"{settings.address}: {detail}")

"""The process that drives a cluster: what it may know, and how it ends."""

import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from generation.cluster.messages import Away, FromDriver, ToDriver
from generation.cluster.settings import ClusterSettings
from generation.worker.parent import die_with_parent
from generation.worker.specs import BackendSpec

Pipe: TypeAlias = "Connection[FromDriver, ToDriver]"  # generic for type checkers only

NOT_INSTALLED = "Ray is not installed beside the bot: pip install 'oxherd[ray]'"


def drive(settings: ClusterSettings, models: Mapping[str, BackendSpec], pipe: Pipe) -> None:
    """Drive the cluster until it is away, or the process is killed."""
    die_with_parent()
    prepare()
    try:
        from generation.cluster.driver import Driver
    except ImportError as exc:
        pipe.send(Away(reason=f"{NOT_INSTALLED} ({exc})"))
        return

    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        Driver(settings, models, pipe).run()  # Ray repeats there what raylets write into their logs


def prepare() -> None:
    """Change this process's environment before Ray is imported: it needs no token of the bot's,
    and sends the cluster's own with each message."""
    for name in [name for name in os.environ if name.upper().startswith("OXHERD_")]:
        del os.environ[name]

    os.environ["RAY_AUTH_MODE"] = "token"

"""The pusher in a process of its own: the only one that talks to the Oxen server.

Oxen's client has no time-out, so what calls it must be killable, and not the writer: commits go on
while a push hangs.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from storage.errors import RemoteRefused, RemoteUnavailable
from storage.folder import DataFolder
from storage.processes.child import ChildProcess, Failure
from storage.remote.settings import Fetched, RemoteSettings

if TYPE_CHECKING:
    from storage.remote.oxen import OxenRemote

_OPENING_TIMEOUT_S = 60.0


class PusherProcess:
    """An OxenRemote whose every call is answered by the process, for `timeout_s` at most.

    Raises what the OxenRemote raises, or RemoteUnavailable when the process is gone or silent.
    """

    def __init__(self, process: ChildProcess, *, timeout_s: float) -> None:
        self._process = process
        self._timeout_s = timeout_s

    @classmethod
    def start(cls, folder: DataFolder, settings: RemoteSettings, *, timeout_s: float) -> Self:
        """Start the process and wait until it is ready."""
        process = ChildProcess.start(
            partial(_open_remote, settings, folder.remote_config),
            name="pusher",
            log_path=folder.pusher_log,
            failure=Failure(gone=RemoteUnavailable.while_, unexpected=RemoteRefused.while_),
        )
        process.wait_until_open(timeout_s=_OPENING_TIMEOUT_S)

        return cls(process, timeout_s=timeout_s)

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def push(self, path: Path, *, branch: str) -> None:
        self._process.call("push", timeout_s=self._timeout_s, path=path, branch=branch)

    def has_branch(self, branch: str) -> bool:
        return bool(self._process.call("has_branch", timeout_s=self._timeout_s, branch=branch))

    def look(self, *, branch: str) -> str:
        return str(self._process.call("look", timeout_s=self._timeout_s, branch=branch))

    def fetch(self, path: Path, *, branch: str) -> Fetched | None:
        fetched: Fetched | None = self._process.call(
            "fetch", timeout_s=self._timeout_s, path=path, branch=branch
        )

        return fetched

    def close(self) -> None:
        """Let the process end by itself, or kill it if it does not within a second."""
        self._process.close()

    def kill(self) -> None:
        """End the process now, from any thread: the call that waits for it raises. What it was
        doing can be done again."""
        self._process.kill()


def _open_remote(settings: RemoteSettings, config_dir: Path) -> "OxenRemote":
    from storage.remote.oxen import OxenRemote

    # Imported here, so that the parent, which imports this module too, never loads oxen.
    return OxenRemote.open(settings, config_dir=config_dir)

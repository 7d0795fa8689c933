"""Starts the pusher: a process of its own, and the only one that talks to the Oxen server.

Oxen's client has no time-out, so its caller must be killable. It is not the writer's process:
commits continue while a push hangs.
"""

from functools import partial

from storage.errors import RemoteError, RemoteSilent, RemoteUnavailable
from storage.folder import DataFolder
from storage.processes.child import ChildProcess
from storage.processes.line import bytes_on_the_line
from storage.remote.repository import RemoteRepository
from storage.remote.settings import RemoteSettings


def start_pusher(
    folder: DataFolder, settings: RemoteSettings, *, timeout_s: float
) -> ChildProcess[RemoteRepository]:
    """Start the process and wait until it is ready. It is killed after `timeout_s` in which nothing
    moved on its line.

    Raises RemoteUnavailable.
    """
    process = ChildProcess.start(
        partial(_open_remote, settings, folder),
        name="pusher",
        log_path=folder.pusher_log,
        gone=RemoteUnavailable.while_,
        silent=RemoteSilent.while_,
        unexpected=RemoteError.refused,
        timeout_s=timeout_s,
        progress=bytes_on_the_line,
    )
    process.wait_until_open()

    return process


def _open_remote(settings: RemoteSettings, folder: DataFolder) -> RemoteRepository:
    from storage.remote.oxen import OxenRemote

    # Imported here, so that the parent, which imports this module too, never loads oxen.
    return OxenRemote.open(settings, config_dir=folder.remote_config)

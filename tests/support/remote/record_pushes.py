"""Records what the pusher and a real Oxen server say to each other.

    unshare -r --uts sh -c 'hostname recorder && python -m tests.support.remote.record_pushes'

Needs oxen-server (`make oxen-server`). Writes `tests/recordings`, for `recorded_server` to
play back where there is no server. RocksDB writes the machine's name into the dataset's files,
so the machine must have one that says nothing.
"""

import argparse
import asyncio
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from storage.dataset.writer_process import RepositorySettings
from storage.errors import RemoteError, RemoteMoved
from storage.folder import DataFolder
from storage.processes.child import ChildProcess
from storage.processes.thread import OneThread
from storage.remote.pusher_process import start_pusher
from storage.remote.repository import RemoteRepository
from storage.remote.settings import RemoteSettings
from storage.store import VoteStore
from tests.support.remote import oxen_server, recorded_server
from tests.support.remote.bench import vote
from tests.support.remote.faulty_proxy import Exchange, FaultyProxy
from tests.support.remote.oxen_server import OxenServer
from tests.support.remote.recorded_server import DATASET, RECORDINGS, unpack_dataset

MACHINE = "recorder"
PATIENCE_S = 60.0

SOMEBODY_ELSE = """
import sys
import oxen, oxen.user
url, path = sys.argv[1:]
oxen.user.config_user("somebody", "somebody@localhost")
oxen.Repo(path).clone(url)
open(path + "/notes.txt", "w").write("mine")
repo = oxen.Repo(path)
repo.add(path + "/notes.txt")
repo.commit("my notes")
repo.push()
"""


class Recorder:
    """Runs what a pusher does against one server, and keeps what was said."""

    def __init__(self, proxy: FaultyProxy, thread: OneThread, folder: Path) -> None:
        self._proxy = proxy
        self._thread = thread
        self._folder = folder

    async def record(
        self,
        job: Callable[[ChildProcess[RemoteRepository]], object],
        *,
        create: bool = True,
        token: str = "",
        refused: type[RemoteError] | tuple[()] = (),
    ) -> list[Exchange]:
        """Everything that was said while a new pusher's process did this, or was refused it."""
        settings = RemoteSettings.at(
            f"{self._proxy.url}/ox/votes", branch="main", token=token, create=create
        )

        def done() -> None:
            folder = DataFolder(self._folder)
            try:
                process = start_pusher(folder, settings, timeout_s=PATIENCE_S)
                with closing(process):
                    job(process)
            except refused:
                return

            assert not refused, f"it was not refused: {refused}"

        self._proxy.exchanges.clear()
        await self._thread.run(done)

        host = self._proxy.url.removeprefix("http://").encode()
        said_back = [one.path for one in self._proxy.exchanges if host in one.body]
        assert not said_back, f"these answers say where the server is: {said_back}"

        return [recorded_server.at_example(exchange) for exchange in self._proxy.exchanges]


async def record(folder: Path) -> None:
    """Make the dataset, and then every scenario, each a part of one story."""
    await _make_dataset(folder)
    second = unpack_dataset("second", folder / "unpacked")
    first = second.with_name("first")
    made: dict[str, list[Exchange]] = {}
    async with (
        OneThread.open("recorder") as thread,
        OxenServer.running(folder / "server") as server,
        FaultyProxy.before(server.url) as proxy,
    ):
        recorder = Recorder(proxy, thread, folder / "data")
        made["absent"] = await recorder.record(
            lambda pusher: pusher.call(RemoteRepository.push, first, branch="main"),
            refused=RemoteError,
            create=False,
        )
        made["create and push"] = await recorder.record(
            lambda pusher: pusher.call(RemoteRepository.push, first, branch="main")
        )
        made["push more"] = await recorder.record(
            lambda pusher: pusher.call(RemoteRepository.push, second, branch="main")
        )
        made["push nothing"] = await recorder.record(
            lambda pusher: pusher.call(RemoteRepository.push, second, branch="main")
        )
        made["take over"] = await recorder.record(
            lambda pusher: pusher.call(RemoteRepository.fetch, folder / "fetched", branch="main")
        )
        await asyncio.to_thread(_somebody_else, f"{server.url}/ox/votes", folder)
        made["moved"] = await recorder.record(
            lambda pusher: pusher.call(RemoteRepository.push, second, branch="main"),
            refused=RemoteMoved,
        )
        made["another branch"] = await recorder.record(
            lambda pusher: _push_where_nobody_was(pusher, second)
        )

    async with (
        OneThread.open("recorder") as thread,
        OxenServer.running(folder / "stern-server", tokens=True) as server,
        FaultyProxy.before(server.url) as proxy,
    ):
        await server.token("somebody")  # without any user it answers 500
        made["denied"] = await Recorder(proxy, thread, folder / "data").record(
            lambda pusher: pusher.call(RemoteRepository.push, first, branch="main"),
            refused=RemoteError,
            token="not-a-token",
        )

    versions = {"oxen-server": oxen_server.version(), "oxenai": version("oxenai")}
    recorded_server.write(made, versions=versions)


async def _make_dataset(folder: Path) -> None:
    """As it is after four votes, and after four more."""
    for number, state in enumerate(("first", "second")):
        async with VoteStore.open(
            folder / "data", repository=RepositorySettings(), keep_unvoted=timedelta(days=30)
        ) as store:
            await vote(store, f"set-{number}")
            assert await store.settle(PATIENCE_S)

        kept = folder / "packed" / state / ".oxen"
        shutil.copytree(
            DataFolder(folder / "data").dataset / ".oxen",
            kept,
            # RocksDB's own log and settings, which say where the folder was, are not needed.
            ignore=shutil.ignore_patterns("LOG*", "OPTIONS*", "merge", "staged"),
        )

    with tarfile.open(DATASET, "w:gz") as archive:
        archive.add(folder / "packed", arcname=".", filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""

    return member


def _push_where_nobody_was(pusher: ChildProcess[RemoteRepository], path: Path) -> None:
    assert not pusher.call(RemoteRepository.has_branch, "main-2026-05-04")
    pusher.call(RemoteRepository.push, path, branch="main-2026-05-04")


def _somebody_else(url: str, folder: Path) -> None:
    """Somebody adds a commit to the branch."""
    subprocess.run([sys.executable, "-c", SOMEBODY_ELSE, url, folder / "theirs"], check=True)


def main() -> int:
    """The command line."""
    argparse.ArgumentParser(
        description=__doc__, prog="python -m tests.support.remote.record_pushes"
    ).parse_args()
    if socket.gethostname() != MACHINE:
        sys.exit(f"RocksDB would write down this machine's name: set it to {MACHINE} (see --help)")

    RECORDINGS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="record-pushes-") as folder:
        asyncio.run(record(Path(folder)))

    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The pusher's process, against what a real Oxen server answered when it was recorded."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import web

from storage.errors import (
    RemoteError,
    RemoteMoved,
    RemoteUnavailable,
)
from storage.folder import DataFolder
from storage.processes.child import ChildProcess
from storage.processes.thread import OneThread
from storage.remote.pusher_process import start_pusher
from storage.remote.repository import RemoteRepository
from storage.remote.settings import RemoteSettings
from tests.support.remote.faulty_proxy import (
    Fault,
    FaultyProxy,
    cut_the_answer,
    cut_the_request,
    garbage,
    status,
)
from tests.support.remote.recorded_server import RecordedServer, unpack_dataset
from tests.support.storage import kept_dataset

T = TypeVar("T")
PATIENCE_S = 30.0
TOKEN = "a-token-that-nobody-may-read"
NO_ROOM = '{"status": "error", "status_message": "No space left on device (os error 28)"}'

# The newest commits of the two recorded states of the dataset.
FIRST, SECOND = "98388d8cf4af833d54ca31472c2d0460", "7d9c29d10480bd54e365b16c97b36720"

LOOK = "GET /api/repos/ox/votes"
BRANCH = "GET /api/repos/ox/votes/branches/main"
MISSING = "POST /api/repos/ox/votes/commits/missing"
CONTENTS = "POST /api/repos/ox/votes/versions"
TREE = "POST /api/repos/ox/votes/tree/nodes"
COMMITS = "POST /api/repos/ox/votes/commits/upload"
MOVE = "PUT /api/repos/ox/votes/branches/main"


class Bench:
    """A recorded server behind a bad network, and the folder of whoever pushes to it."""

    def __init__(
        self, server: RecordedServer, proxy: FaultyProxy, thread: OneThread, folder: Path
    ) -> None:
        self.server = server
        self.proxy = proxy
        self._thread = thread
        self._folder = folder

    async def ask(
        self,
        job: Callable[[ChildProcess[RemoteRepository]], T],
        *,
        create: bool = True,
        token: str = TOKEN,
    ) -> T:
        """What a new pusher's process answers."""
        settings = RemoteSettings.at(
            f"{self.proxy.url}/ox/votes", branch="main", token=token, create=create
        )

        def answer() -> T:
            data = DataFolder(self._folder / "data")
            with closing(start_pusher(data, settings, timeout_s=PATIENCE_S)) as process:
                return job(process)

        return await self._thread.run(answer)

    async def push(self, state: str, *, branch: str = "main", create: bool = True) -> None:
        """Push the dataset, as a pusher does that sees it for the first time."""
        await self.ask(
            lambda process: process.call(
                RemoteRepository.push, unpack_dataset(state, self._folder), branch=branch
            ),
            create=create,
        )

    def assert_all_was_said(self) -> None:
        """Every recorded request was made, and no other."""
        assert self.server.problems == []
        assert self.server.unasked == []


@asynccontextmanager
async def playing(scenario: str, folder: Path) -> AsyncIterator[Bench]:
    async with (
        OneThread.open("pusher") as thread,
        RecordedServer.open(token=TOKEN) as server,
        FaultyProxy.before(server.url) as proxy,
    ):
        server.play(scenario)
        yield Bench(server, proxy, thread, folder)


@pytest.mark.parametrize(
    ("scenario", "state"),
    [("create and push", "first"), ("push more", "second"), ("push nothing", "second")],
)
async def test_a_push_says_what_it_said_to_the_real_server(
    tmp_path: Path, scenario: str, state: str
) -> None:
    async with playing(scenario, tmp_path) as bench:
        await bench.push(state)

        bench.assert_all_was_said()


async def test_a_repository_that_is_not_there_and_may_not_be_made_is_absent(
    tmp_path: Path,
) -> None:
    async with playing("absent", tmp_path) as bench:
        with pytest.raises(RemoteError, match="OXHERD_REMOTE_CREATE=true"):
            await bench.push("first", create=False)

        bench.assert_all_was_said()


async def test_a_branch_that_somebody_moved_is_left_alone(tmp_path: Path) -> None:
    async with playing("moved", tmp_path) as bench:
        with pytest.raises(RemoteMoved, match="Somebody else changed the branch main"):
            await bench.push("second")

        bench.assert_all_was_said()


async def test_a_push_goes_on_in_a_branch_that_nobody_had(tmp_path: Path) -> None:
    def go_on(process: ChildProcess[RemoteRepository]) -> None:
        assert not process.call(RemoteRepository.has_branch, "main-2026-05-04")
        process.call(
            RemoteRepository.push, unpack_dataset("second", tmp_path), branch="main-2026-05-04"
        )

    async with playing("another branch", tmp_path) as bench:
        await bench.ask(go_on)

        bench.assert_all_was_said()


async def test_a_server_that_does_not_know_the_token_denies(tmp_path: Path) -> None:
    async with playing("denied", tmp_path) as bench:
        with pytest.raises(RemoteError, match="Set OXHERD_REMOTE_TOKEN") as caught:
            await bench.push("first")

        assert TOKEN not in str(caught.value)
        bench.assert_all_was_said()


async def test_a_new_host_takes_over_the_rows_and_the_history_and_no_image(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    async with playing("take over", tmp_path) as bench:
        fetched = await bench.ask(
            lambda process: process.call(RemoteRepository.fetch, taken, branch="main")
        )

        bench.assert_all_was_said()

    kept = kept_dataset.read(taken)
    assert fetched is not None
    assert fetched.branch == "main"
    assert fetched.commits >= 3  # votes that came at once share one, so there may be more
    assert len(kept.ratings) == len(kept.shown) == 8
    assert not (taken / "images").exists()


async def test_a_new_host_continues_main_and_not_a_copy_of_its_past(tmp_path: Path) -> None:
    """A colleague kept a state as `main-2026-11-01`; votes came later."""
    async with playing("take over", tmp_path) as bench:
        bench.server.play("take over", times=2)
        kept = {"main": SECOND, "main-2026-11-01": FIRST}
        bench.proxy.every = only("GET /api/repos/ox/votes/branches", branches(kept))
        fetched = await bench.ask(
            lambda process: process.call(RemoteRepository.fetch, tmp_path / "taken", branch="main")
        )

        assert bench.server.problems == []

    assert fetched is not None
    assert (fetched.branch, fetched.commit_id) == ("main", SECOND)


@pytest.mark.parametrize(
    ("at", "fault", "error", "sentence"),
    [
        pytest.param(at, fault, error, sentence, id=f"{name} at {at.rpartition('/')[2]}")
        for name, at, fault, error, sentence in [
            ("500", LOOK, status(500), RemoteUnavailable, r"\[500 .*tried again"),
            ("500", CONTENTS, status(500), RemoteUnavailable, r"\[500 .*tried again"),
            ("409", MOVE, status(409), RemoteError, r"\[409 .*Somebody has to look at it"),
            ("413", CONTENTS, status(413), RemoteError, r"\[413 .*Somebody has to look at it"),
            ("429", MISSING, status(429), RemoteUnavailable, r"\[429 .*tried again"),
            ("401", MISSING, status(401), RemoteError, "Set OXHERD_REMOTE_TOKEN"),
            ("a full disk", TREE, status(500, NO_ROOM), RemoteError, "Free some space there"),
            ("garbage", BRANCH, garbage(), RemoteUnavailable, "deserialize .*tried again"),
            ("a cut answer", TREE, cut_the_answer(), RemoteUnavailable, "Network .*tried again"),
            ("a cut", CONTENTS, cut_the_request(), RemoteUnavailable, "Network .*tried again"),
        ]
    ],
)
async def test_a_push_that_fails_says_why_and_the_next_one_succeeds(
    tmp_path: Path, at: str, fault: Fault, error: type[RemoteError], sentence: str
) -> None:
    def fail_and_push_again(process: ChildProcess[RemoteRepository]) -> None:
        dataset = unpack_dataset("second", tmp_path)
        bench.proxy.every = only(at, fault)
        with pytest.raises(error, match=sentence):
            process.call(RemoteRepository.push, dataset, branch="main")

        bench.proxy.every = None
        bench.server.play("push more")
        process.call(RemoteRepository.push, dataset, branch="main")

    async with playing("push more", tmp_path) as bench:
        await bench.ask(fail_and_push_again)

        bench.assert_all_was_said()


async def test_the_recorded_server_notices_what_the_real_one_was_not_asked(tmp_path: Path) -> None:
    async with playing("push nothing", tmp_path) as bench:
        with suppress(RemoteError):
            await bench.push("first")  # not what was pushed when it was recorded

        assert bench.server.problems
        assert bench.server.unasked


async def test_the_recorded_server_notices_a_missing_token(tmp_path: Path) -> None:
    async with playing("push nothing", tmp_path) as bench:
        with pytest.raises(RemoteError, match="does not accept the token"):
            await bench.ask(
                lambda process: process.call(
                    RemoteRepository.push, unpack_dataset("second", tmp_path), branch="main"
                ),
                token="",
            )

        assert bench.server.problems[0].startswith("without the token")


async def test_the_recorded_server_notices_an_upload_that_differs(tmp_path: Path) -> None:
    """One byte of each file, which was right when the commit was made."""

    def push_spoilt(process: ChildProcess[RemoteRepository]) -> None:
        path = unpack_dataset("second", tmp_path)
        for file in (path / ".oxen" / "versions").rglob("data"):
            file.write_bytes(file.read_bytes()[:-1] + b"?")

        process.call(RemoteRepository.push, path, branch="main")

    async with playing("push more", tmp_path) as bench:
        with suppress(RemoteError):
            await bench.ask(push_spoilt)

        assert any("/versions" in problem for problem in bench.server.problems)


def branches(heads: Mapping[str, str]) -> Fault:
    """The server has these branches."""
    found = [{"name": name, "commit_id": commit_id} for name, commit_id in heads.items()]

    return status(
        200,
        json.dumps({"status": "success", "status_message": "resource_found", "branches": found}),
    )


def only(at: str, fault: Fault) -> Fault:
    """The fault for this method and path, and none for others."""

    async def sometimes(
        proxy: FaultyProxy, request: web.Request, body: bytes
    ) -> web.StreamResponse | None:
        if f"{request.method} {request.path}" != at:
            return None

        return await fault(proxy, request, body)

    return sometimes

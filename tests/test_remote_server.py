"""Votes reach a real Oxen server, whatever happens to it and to the network."""

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import psutil
import pytest

from bot.cli.doctor import examine
from bot.settings import Settings
from generation.worker.backend import Finding
from storage import offline, refound
from storage.dataset.writer_process import RepositorySettings
from storage.errors import RemoteHasData, RemoteUnavailable
from storage.folder import DataFolder
from storage.store import VoteStore
from storage.vote import Rating, VoteKind
from tests.support.remote import faulty_proxy, oxen_server
from tests.support.remote.bench import (
    PATIENCE_S,
    cloned,
    failing,
    open_store,
    remote_at,
    show,
    vote,
)
from tests.support.remote.faulty_proxy import FaultyProxy
from tests.support.remote.oxen_server import OxenServer
from tests.support.storage.data import PROVENANCE, four_images
from tests.support.storage.traces import traces
from tests.test_forgetting import OTHER, PERSON, SECRET, secret_set

pytestmark = [
    oxen_server.needed,
    pytest.mark.timeout(300),
    pytest.mark.stalls("starts processes; the bot's own loop is watched in kill_pushing.py"),
]

REPOSITORY = "ox/votes"
EVERY_REQUEST = "EVERY_REQUEST" in os.environ
FREEZE_S = 60.0 if EVERY_REQUEST else 0.0


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OxenServer]:
    async with OxenServer.running(tmp_path / "server") as server:
        yield server


@pytest.fixture
async def proxy(server: OxenServer) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy.before(server.url) as proxy:
        yield proxy


async def pushed(store: VoteStore) -> None:
    assert await store.settle(PATIENCE_S), (await store.status()).remote


async def same_on_the_server(data: Path, url: str, into: Path, *, branch: str = "main") -> None:
    """The server has exactly what this host has, in one line of history."""
    found = await cloned(url, into, branch=branch)
    assert found.problems == ()
    mine = sorted((data / "dataset" / "train").rglob("*.csv"))
    theirs = sorted((into / "train").rglob("*.csv"))
    assert [f.read_bytes() for f in mine] == [f.read_bytes() for f in theirs]
    assert found.ratings


async def test_the_repository_is_made_and_every_vote_is_there(
    tmp_path: Path, server: OxenServer
) -> None:
    url = f"{server.url}/{REPOSITORY}"
    async with open_store(tmp_path / "data", url) as store:
        await vote(store, "set-0", voters=3)
        await pushed(store)
        await same_on_the_server(tmp_path / "data", url, tmp_path / "clone-1")

        await vote(store, "set-1")
        await store.vote("set-0-1", 1, Rating.BAD)
        await store.vote("set-0-2", 2, None)
        await pushed(store)
        status = (await store.status()).remote

    await same_on_the_server(tmp_path / "data", url, tmp_path / "clone-2")
    assert status is not None
    assert (status.watermark.commits_waiting, status.watermark.votes_waiting) == (0, 0)
    assert list(DataFolder(tmp_path / "data").shared.iterdir()) == []


async def test_a_restart_goes_on_where_it_was(tmp_path: Path, server: OxenServer) -> None:
    url = f"{server.url}/{REPOSITORY}"
    for number in range(3):
        async with open_store(tmp_path / "data", url) as store:
            await vote(store, f"set-{number}")
            await pushed(store)

    await same_on_the_server(tmp_path / "data", url, tmp_path / "clone")


@pytest.mark.long
async def test_open_files_do_not_grow_with_pushes(tmp_path: Path, server: OxenServer) -> None:
    """Oxen's client keeps files of every push open until its process ends."""
    open_files = []
    async with open_store(tmp_path / "data", f"{server.url}/{REPOSITORY}") as store:
        for image_id in await show(store, "set-0"):
            for voter_id in range(15):
                await store.vote(image_id, voter_id, Rating.GOOD)
                await pushed(store)
                open_files.append(open_descriptors())

    assert len(open_files) == 60
    assert max(open_files[20:]) <= max(open_files[:20]) + 10, open_files


def open_descriptors() -> int:
    """Of this process and of all that it started, but the server."""
    here = psutil.Process()
    family = [here, *here.children(recursive=True)]

    return sum(process.num_fds() for process in family if process.name() != "oxen-server")


async def test_a_killed_server_costs_nothing(tmp_path: Path, server: OxenServer) -> None:
    url = f"{server.url}/{REPOSITORY}"
    async with open_store(tmp_path / "data", url) as store:
        await vote(store, "set-0")
        await pushed(store)
        await server.kill()
        await vote(store, "set-1")
        sentence = await failing(store)
        await vote(store, "set-2")
        await server.start()
        await pushed(store)

    assert sentence.startswith("The remote could not be reached while pushing")
    await same_on_the_server(tmp_path / "data", url, tmp_path / "clone")


async def test_a_frozen_server_is_given_up_and_commits_go_on(
    tmp_path: Path, server: OxenServer
) -> None:
    url = f"{server.url}/{REPOSITORY}"
    async with open_store(tmp_path / "data", url, push_timeout_s=2) as store:
        await vote(store, "set-0")
        await pushed(store)
        server.freeze()
        try:
            await vote(store, "set-1")
            sentence = await failing(store)
            async with asyncio.timeout(10):
                while (await store.status()).votes_waiting:  # noqa: ASYNC110  # another task
                    await asyncio.sleep(0.05)

            await asyncio.sleep(FREEZE_S)
        finally:
            server.thaw()

        await pushed(store)

    assert "the pusher was silent for 2 s and was killed" in sentence
    await same_on_the_server(tmp_path / "data", url, tmp_path / "clone")


async def test_a_server_that_lost_its_disk_gets_everything_again(
    tmp_path: Path, server: OxenServer
) -> None:
    url = f"{server.url}/{REPOSITORY}"
    async with open_store(tmp_path / "data", url) as store:
        await vote(store, "set-0")
        await pushed(store)
        await server.kill()
        shutil.rmtree(server.folder)
        await server.start()
        await vote(store, "set-1")
        await pushed(store)

    await same_on_the_server(tmp_path / "data", url, tmp_path / "clone")


async def test_a_full_server_says_so_and_gets_the_rest_later(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a small file system needs root")

    folder = tmp_path / "small"
    with small_file_system(folder, megabytes=24):
        async with OxenServer.running(folder / "server") as server:
            url = f"{server.url}/{REPOSITORY}"
            async with open_store(tmp_path / "data", url) as store:
                await vote(store, "set-0")
                await pushed(store)
                filler = folder / "filler"
                with contextlib.suppress(OSError), filler.open("wb") as file:
                    while True:
                        file.write(bytes(4096))

                await vote(store, "set-1")
                sentence = await failing(store)
                filler.unlink()
                await pushed(store)

            await same_on_the_server(tmp_path / "data", url, tmp_path / "clone")

    assert sentence.startswith(f"The disk of {url} is full")


@contextlib.contextmanager
def small_file_system(folder: Path, *, megabytes: int) -> Iterator[None]:
    """A file system of its own, which can be full."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


FAULTS = {
    "500": faulty_proxy.status(500),
    "503": faulty_proxy.status(503),
    "401": faulty_proxy.status(401),
    "409": faulty_proxy.status(409),
    "413": faulty_proxy.status(413, "too large"),
    "429": faulty_proxy.status(429),
    "garbage": faulty_proxy.garbage(),
    "cut answer": faulty_proxy.cut_the_answer(),
    "cut request": faulty_proxy.cut_the_request(),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_at_any_request_of_a_push_loses_and_doubles_nothing(
    tmp_path: Path, proxy: FaultyProxy, name: str
) -> None:
    """At one request of a push, another one for each fault; `make remote` tries them all."""
    url = f"{proxy.url}/{REPOSITORY}"
    async with open_store(tmp_path / "data", url) as store:
        await vote(store, "set-0")
        await pushed(store)
        before = len(proxy.requests)
        await vote(store, "set-1")
        await pushed(store)
        requests = len(proxy.requests) - before
        first = list(FAULTS).index(name) % requests
        for number in range(requests) if EVERY_REQUEST else [first]:
            # Oxen's client asks three times more by itself where it thinks that this may help.
            proxy.faults = [*[faulty_proxy.passed()] * number, *[FAULTS[name]] * 4]
            await vote(store, f"set-{number + 2}")
            await pushed(store)

    proxy.faults.clear()
    await same_on_the_server(tmp_path / "data", url, tmp_path / "clone")


async def test_slow_networks_are_only_slow(tmp_path: Path, proxy: FaultyProxy) -> None:
    proxy.delay_s = 0.3
    url = f"{proxy.url}/{REPOSITORY}"
    async with open_store(tmp_path / "data", url) as store:
        await vote(store, "set-0")
        await pushed(store)

    proxy.delay_s = 0
    await same_on_the_server(tmp_path / "data", url, tmp_path / "clone")


async def test_somebody_else_s_commit_stays_and_votes_go_to_a_dated_branch(
    tmp_path: Path, server: OxenServer
) -> None:
    url = f"{server.url}/{REPOSITORY}"
    async with open_store(tmp_path / "data", url) as store:
        await vote(store, "set-0")
        await pushed(store)
        await somebody_commits(server, "main")
        await vote(store, "set-1")
        await pushed(store)
        remote = (await store.status()).remote
        await vote(store, "set-2")
        await pushed(store)

    assert remote is not None
    assert remote.watermark.moved
    assert re.fullmatch(r"main-\d{4}-\d\d-\d\d", remote.watermark.branch)
    await same_on_the_server(
        tmp_path / "data", url, tmp_path / "clone", branch=remote.watermark.branch
    )
    theirs = await cloned(url, tmp_path / "theirs")
    assert (tmp_path / "theirs" / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert {image for image, _ in theirs.ratings} == {f"set-0-{slot}" for slot in (1, 2, 3, 4)}


async def somebody_commits(server: OxenServer, branch: str) -> None:
    """A file that is put on the branch, as the server's web page does it."""
    form = aiohttp.FormData()
    form.add_field("file", b"mine", filename="notes.txt")
    form.add_field("name", "somebody")
    form.add_field("email", "somebody@localhost")
    form.add_field("message", "a note")
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{server.url}/api/repos/{REPOSITORY}/file/{branch}", data=form) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def test_a_new_host_goes_on_with_what_the_server_has(
    tmp_path: Path, server: OxenServer
) -> None:
    url = f"{server.url}/{REPOSITORY}"
    async with open_store(tmp_path / "old", url) as store:
        await vote(store, "set-0", voters=2)
        await vote(store, "set-1")
        await store.vote("set-1-4", 1, None)
        await pushed(store)

    with pytest.raises(RemoteHasData):
        async with open_store(tmp_path / "new", url):
            pass

    taken = await offline.take_over(tmp_path / "new", remote_at(tmp_path / "new", url))
    async with open_store(tmp_path / "new", url) as store:
        again = await store.vote("set-0-1", 1, Rating.GOOD)
        gone = await store.vote("set-1-4", 1, Rating.GOOD)
        await store.vote("set-0-1", 7, Rating.BAD)
        await store.vote("set-0-2", 1, None)
        await store.vote("set-0-2", 2, None)  # the image leaves with its last vote
        await vote(store, "set-2")
        await pushed(store)
        details = await store.find_set("set-0")

    assert again.kind is VoteKind.UNCHANGED
    assert gone.kind is VoteKind.REMOVED_IMAGE
    assert details is not None
    assert details.request["prompt"] == "a fox in the snow"
    assert (taken.branch, taken.adopted.votes, taken.adopted.images) == ("main", 11, 7)
    here = {path.stem for path in (tmp_path / "new" / "dataset" / "images").rglob("*.png")}
    assert here == {f"set-2-{slot}" for slot in (1, 2, 3, 4)}, "an old image was fetched"

    found = await cloned(url, tmp_path / "clone")
    assert found.problems == ()
    ratings = {
        **dict.fromkeys([(f"set-0-{slot}", v) for slot in (1, 3, 4) for v in (1, 2)], "good")
    }
    ratings |= {(f"set-1-{slot}", 1): "good" for slot in (1, 2, 3)}
    ratings |= {(f"set-2-{slot}", 1): "good" for slot in (1, 2, 3, 4)}
    ratings["set-0-1", 7] = "bad"
    assert found.ratings == ratings


async def test_a_host_that_lost_its_dataset_says_what_is_lost_and_goes_on(
    tmp_path: Path, server: OxenServer, caplog: pytest.LogCaptureFixture
) -> None:
    data, url = tmp_path / "data", f"{server.url}/{REPOSITORY}"
    async with open_store(data, url) as store:
        await vote(store, "set-0", voters=2)
        await show(store, "set-spooled")
        await pushed(store)
        await server.kill()
        await vote(store, "set-1")
        await store.vote("set-0-1", 2, Rating.BAD)
        await failing(store)

    shutil.rmtree(data / "dataset")
    await server.start()
    with caplog.at_level(logging.WARNING):
        async with open_store(data, url) as store:
            lost = await store.vote("set-1-1", 1, Rating.GOOD)
            kept = await store.vote("set-spooled-1", 1, Rating.GOOD)
            await pushed(store)

    assert "images whose bytes are gone: 4" in caplog.text
    assert (lost.kind, kept.kind) == (VoteKind.UNCHANGED, VoteKind.RECORDED)
    found = await cloned(url, tmp_path / "clone")
    assert found.problems == ()
    ratings = dict.fromkeys([(f"set-0-{slot}", v) for slot in (1, 2, 3, 4) for v in (1, 2)], "good")
    ratings["set-0-1", 2] = "bad"  # its image was pushed before, and the journal had the rest
    ratings["set-spooled-1", 1] = "good"
    assert found.ratings == ratings


async def test_a_new_host_does_not_start_beside_votes_that_it_cannot_ask_for(
    tmp_path: Path,
) -> None:
    with pytest.raises(RemoteUnavailable, match="fetching"):
        async with open_store(tmp_path / "new", "http://127.0.0.1:9/ox/votes"):
            pass


@oxen_server.tokens_needed
async def test_without_a_right_token_nothing_is_written_and_a_sentence_says_so(
    tmp_path: Path,
) -> None:
    async with OxenServer.running(tmp_path / "server", tokens=True) as server:
        token = await server.token("somebody")
        url = f"{server.url}/{REPOSITORY}"
        async with open_store(tmp_path / "data", url, token=token) as store:
            await vote(store, "set-0")
            await pushed(store)
            found = await cloned(url, tmp_path / "clone", token=token)

        async with open_store(tmp_path / "data", url, token=token[:-3] + "abc") as store:
            await vote(store, "set-1")
            sentence = await failing(store)

        async with open_store(tmp_path / "data", url, token=token) as store:
            await pushed(store)

    assert found.problems == ()
    assert sentence.startswith(f"{url} does not accept the token.")


@oxen_server.tokens_needed
async def test_the_token_is_nowhere_but_in_its_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    async with OxenServer.running(tmp_path / "server", tokens=True) as server:
        token = await server.token("somebody")
        async with FaultyProxy.before(server.url) as proxy:
            url = f"{proxy.url}/{REPOSITORY}"
            with caplog.at_level(logging.DEBUG):
                async with open_store(data, url, token=token) as store:
                    await vote(store, "set-0")
                    await pushed(store)
                    processes = [
                        " ".join(process.cmdline())
                        for process in psutil.Process().children(recursive=True)
                    ]
                    # A server that says the token back, in a page for people.
                    echo = json.dumps({"status": "error", "status_message": f"bad {token}"})
                    proxy.every = faulty_proxy.status(400, echo)
                    await vote(store, "set-1")
                    sentence = await failing(store)
                    proxy.every = None
                    await pushed(store)

    holders = [
        path for path in data.rglob("*") if path.is_file() and token.encode() in path.read_bytes()
    ]
    assert holders == [DataFolder(data).remote_config / "auth_config.toml"]
    assert holders[0].stat().st_mode & 0o777 == 0o600
    assert holders[0].parent.stat().st_mode & 0o777 == 0o700
    assert token not in caplog.text
    assert token not in sentence
    assert not any(token in line for line in processes)


async def test_a_repository_is_not_made_where_that_is_not_wanted(
    tmp_path: Path, server: OxenServer
) -> None:
    url = f"{server.url}/{REPOSITORY}"
    async with open_store(tmp_path / "data", url, create=False) as store:
        await vote(store, "set-0")
        sentence = await failing(store)

    assert sentence.startswith(f"There is no repository {url}.")
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/api/repos/ox") as a:
        assert "votes" not in await a.text()


async def test_doctor_asks_the_server(tmp_path: Path, server: OxenServer) -> None:
    def finding(**changes: object) -> Finding:
        settings = Settings.model_validate({"data": tmp_path / "data", **changes})
        return next(f for f in examine(settings) if f.subject == "remote")

    url = f"{server.url}/{REPOSITORY}"
    placeholder = {"backend": "placeholder", "devices": "cpu"}
    absent = await asyncio.to_thread(finding, remote=url, **placeholder)
    async with open_store(tmp_path / "data", url) as store:
        await vote(store, "set-0")
        await pushed(store)

    there = await asyncio.to_thread(finding, remote=url, **placeholder)
    away = await asyncio.to_thread(finding, remote="http://127.0.0.1:9/ox/v", **placeholder)

    assert absent.ok
    assert "the first push makes the repository, private" in absent.detail
    assert there.ok
    assert "the branch main is at" in there.detail
    assert not away.ok
    assert away.detail.startswith("The remote could not be reached while looking at the repository")


async def test_a_new_repository_has_no_trace_of_a_person_who_was_forgotten(
    tmp_path: Path, server: OxenServer
) -> None:
    """The server keeps what a deleted branch had, so docs/privacy.md has a new repository made."""
    data = tmp_path / "data"
    old, new = f"{server.url}/{REPOSITORY}", f"{server.url}/ox/anew"
    on_server = partial(traces, tmp_path, user_id=PERSON, prompt=SECRET)
    async with open_store(data, old) as store:
        await store.add_request(secret_set("theirs"))
        await store.add_images("theirs", four_images("theirs"), provenance=PROVENANCE)
        await store.mark_posted("theirs", 99)
        await store.vote("theirs-1", OTHER, Rating.GOOD)
        for image_id in await show(store, "others"):
            await store.vote(image_id, PERSON, Rating.BAD)
            await store.vote(image_id, OTHER, Rating.GOOD)

        await pushed(store)
        await store.forget(PERSON, requests=True)
        await pushed(store)

    await asyncio.to_thread(refound.refound, data, RepositorySettings())
    async with open_store(data, old) as store:
        await pushed(store)

    kept = on_server()
    async with open_store(data, new) as store:
        await pushed(store)

    await server.delete(REPOSITORY)

    assert kept
    assert all(trace.startswith("server/") for trace in kept)
    async with asyncio.timeout(PATIENCE_S):
        while True:  # the server deletes in the background
            with contextlib.suppress(FileNotFoundError):
                if on_server() == []:
                    break

            await asyncio.sleep(0.1)

    await same_on_the_server(data, new, tmp_path / "clone")

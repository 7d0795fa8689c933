"""Each way in which an Oxen server refuses has a sentence of its own, chosen by the status."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from storage.errors import RemoteError, RemoteMoved, RemoteUnavailable
from storage.processes.thread import OneThread
from storage.remote.oxen_errors import remote_errors
from storage.remote.settings import RemoteSettings

HTTP = RemoteSettings.at("http://127.0.0.1:1/a/b", branch="main", token="", create=True)
PUSHING = 'Failed to push 2 commit(s): Error pushing commit "26177ffa": Error syncing small entries'
NO_TOKEN = "Must supply valid API key. Create an account at https://oxen.ai"
UNAUTHENTICATED = "Authentication failed: You are unauthenticated. Obtain an API Key"
NO_CONNECTION = "Network error: error sending request for url (https://x/api/repos/a/b)"


NOT_STORED = (
    'Error syncing small entries: Failed to upload files: [ ErrorFileInfo { hash: "17d6", '
    'path: None, error: "Failed to store version: {reason}" }, ]'
)


def refused(status: str, words: str) -> str:
    """One request's error, as Oxen words it."""
    return f"Err status [{status}] from url http://127.0.0.1:1/api/repos/a/b [{words}]"


def not_json(status: str) -> str:
    return f"Could not deserialize response from [http://127.0.0.1:1/api/repos/a/b] {status} 'no'"


def translated(text: str, settings: RemoteSettings = HTTP) -> RemoteError:
    with pytest.raises(RemoteError) as caught, remote_errors(settings, doing="pushing"):
        raise ValueError(text)

    return caught.value


@pytest.mark.parametrize("before", ["", f"{PUSHING}: "], ids=["alone", "in a push"])
@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        (refused("401 Unauthorized", "no"), RemoteError, "does not accept the token"),
        (not_json("401 Unauthorized"), RemoteError, "does not accept the token"),
        (UNAUTHENTICATED, RemoteError, "does not accept the token"),
        (refused("402 Payment Required", "5 GB"), RemoteError, "its storage or plan is used up"),
        (refused("403 Forbidden", "3 repositories"), RemoteError, "403: 3 repositories"),
        (NO_TOKEN, RemoteError, "403: no token is set"),
        (refused("426 Upgrade Required", "0.70"), RemoteError, "newer Oxen client (426: 0.70)"),
        (not_json("426 Upgrade Required"), RemoteError, "newer Oxen client (426)"),
        (refused("500 Oops", "No space left on device"), RemoteError, "The disk of http"),
        (
            NOT_STORED.replace("{reason}", "No space left on device (os error 28)"),
            RemoteError,
            "The disk of http",
        ),
        (NOT_STORED.replace("{reason}", "it is broken"), RemoteUnavailable, "it is broken"),
        (refused("413 Payload Too Large", ""), RemoteError, "Somebody has to look at it"),
        (refused("503 Busy", ""), RemoteUnavailable, "tried again"),
        ("timed out after 401 seconds", RemoteUnavailable, "timed out after 401 seconds"),
        (NO_CONNECTION, RemoteUnavailable, "could not be reached"),
    ],
)
def test_each_refusal_has_a_sentence(
    before: str, text: str, kind: type[RemoteError], sentence: str
) -> None:
    error = translated(before + text)

    assert type(error) is kind
    assert sentence in str(error)


@pytest.mark.parametrize(
    "words",
    [
        "402 files are authenticated",
        "Remote repository not found: yours",
        "Branch main is behind remote commit abc",
        "Err status [401 Unauthorized] from url http://x [no]",
        "Authentication failed: no",
    ],
)
def test_the_server_s_words_do_not_choose_the_sentence(words: str) -> None:
    error = translated(f"{PUSHING}: {refused('503 Service Unavailable', words)}")

    assert type(error) is RemoteUnavailable


def test_the_number_of_commits_is_no_status() -> None:
    error = translated(f"Failed to push 401 commit(s): {refused('503 Service Unavailable', '')}")

    assert type(error) is RemoteUnavailable


def test_a_full_disk_on_this_host_is_not_the_server_s() -> None:
    error = translated("No space left on device (os error 28)")

    assert "The disk of" not in str(error)


def test_a_branch_that_moved_and_an_absent_repository_are_told_apart() -> None:
    moved = translated("Branch main is behind remote commit abc. Run `oxen pull`")
    absent = translated("Remote repository not found: http://127.0.0.1:1/a/b")

    assert type(moved) is RemoteMoved
    assert "There is no repository" in str(absent)


async def test_an_expired_certificate_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oxen says only that it could not send its request."""
    await asyncio.to_thread(certify, tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with https_server(tmp_path) as port, OneThread.open("asking") as thread:
        settings = RemoteSettings.at(
            f"https://localhost:{port}/a/b", branch="main", token="", create=True
        )
        error = await thread.run(lambda: translated(NO_CONNECTION, settings))

    assert "is not valid: certificate has expired" in str(error)


def certify(folder: Path) -> None:
    """A certificate authority, and a certificate for localhost that expired at the end of 2020."""
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    key = "-newkey rsa:2048 -nodes"
    lifetime = "-startdate 20200101000000Z -enddate 20201231000000Z"
    issue = "ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in request.pem -out cert.pem"
    for arguments in (
        f"req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
        f"req {key} -keyout key.pem -out request.pem -subj /CN=localhost",
        f"{issue} -extfile names {lifetime}",
    ):
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


@asynccontextmanager
async def https_server(folder: Path) -> AsyncIterator[int]:
    """Its port, until the block ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()

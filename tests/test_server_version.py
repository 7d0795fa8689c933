"""`doctor` says what to know about the Oxen server."""

import asyncio

import pytest
from aiohttp import web

from storage.remote.server_version import about_server
from storage.remote.settings import RemoteSettings


async def about(answer: object, *, status: int = 200) -> str:
    """What is said about a server with this answer."""

    async def version(_: web.Request) -> web.Response:
        return web.json_response(answer, status=status)

    application = web.Application()
    application.router.add_get("/api/version", version)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/ox/votes"
        settings = RemoteSettings.at(url, branch="main", token="", create=True)

        return await asyncio.to_thread(about_server, settings)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("version", ["0.59.0", "0.65.2", "1.0.0-rc.1"])
async def test_a_server_that_checks_no_token_is_named(version: str) -> None:
    said = await about({"status": "success", "oxen_version": version})

    assert said == (
        f"oxen-server {version}, which checks no token: whoever reaches it can read and write"
    )


async def test_an_older_server_is_only_named() -> None:
    assert await about({"oxen_version": "0.58.1"}) == "oxen-server 0.58.1"


@pytest.mark.parametrize("answer", [{}, [], "0.60.0", {"oxen_version": "newest"}])
async def test_a_server_that_does_not_say_its_version_is_not_described(answer: object) -> None:
    assert await about(answer) == ""
    assert await about({"oxen_version": "0.60.0"}, status=401) == ""


def test_the_hub_is_not_tested() -> None:
    hub = RemoteSettings.at("https://hub.oxen.ai/a/b", branch="main", token="t", create=True)

    assert about_server(hub) == "hub.oxen.ai is not tested with oxherd, and its plans have limits"

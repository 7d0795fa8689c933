"""The REST side of the stand-in for Discord: the requests that oxherd makes, and no others."""

import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto

from aiohttp import web

from tests.support.discord import payloads as payloads
from tests.support.discord.channel import DiscordWorld, Interaction
from tests.support.discord.payloads import Message, Payload

ACKNOWLEDGE_WITHIN_S = 3.0
BASE = "/api/v10"

MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE = 4, 5, 6, 7


class Fault(Enum):
    """What happens to a request that brings files."""

    RESET = auto()
    """The connection is reset before Discord has read it (errno 104)."""
    LOST = auto()
    """Discord does it, and the response is lost."""
    CLOUDFLARE = auto()
    """429 from the network before Discord, as a page."""
    TOKEN = auto()
    """401: the interaction's token is not valid (50027)."""
    DOWN = auto()
    """503."""
    FORBIDDEN = auto()
    """403: the bot may not."""


class DiscordRest:
    """Request handlers over one world."""

    def __init__(self, world: DiscordWorld) -> None:
        self._world = world
        self._by_nonce: dict[str, Message] = {}

    @web.middleware
    async def faults(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """The next fault, if the request uploads something and there is one left."""
        if request.content_type != "multipart/form-data" or not self._world.faults:
            return await handler(request)

        fault = self._world.faults.popleft()
        if fault is Fault.TOKEN and "/webhooks/" not in request.path:
            return await handler(request)

        if fault is Fault.LOST:
            await handler(request)

        if fault in (Fault.RESET, Fault.LOST):
            _reset(request)

        await request.read()
        if fault is Fault.CLOUDFLARE:
            return web.Response(status=429, text="<html>", content_type="text/html")

        if fault is Fault.TOKEN:
            return _refused(401, 50027, "Invalid Webhook Token")

        if fault is Fault.FORBIDDEN:
            return _refused(403, 50013, "Missing Permissions")

        return _refused(503, 0, "Service Unavailable")

    def routes(self) -> list[web.RouteDef]:
        """What it answers; the last one catches the rest."""
        return [
            web.get(f"{BASE}/users/@me", self._me),
            web.get(f"{BASE}/oauth2/applications/@me", self._me),
            web.get(f"{BASE}/gateway/bot", self._find_gateway),
            web.get(f"{BASE}/users/@me/guilds", self._servers),
            web.put(f"{BASE}/applications/{{application}}/commands", self._register),
            web.get(f"{BASE}/applications/{{application}}/commands", self._registered),
            web.put(
                f"{BASE}/applications/{{application}}/guilds/{{guild}}/commands", self._register
            ),
            web.get(
                f"{BASE}/applications/{{application}}/guilds/{{guild}}/commands", self._registered
            ),
            web.post(f"{BASE}/interactions/{{id}}/{{token}}/callback", self._callback),
            web.get(f"{BASE}/webhooks/{{app}}/{{token}}/messages/{{id}}", self._reread),
            web.patch(f"{BASE}/webhooks/{{app}}/{{token}}/messages/{{id}}", self._edit),
            web.delete(f"{BASE}/webhooks/{{app}}/{{token}}/messages/{{id}}", self._remove),
            web.post(f"{BASE}/webhooks/{{app}}/{{token}}", self._follow_up),
            web.post(f"{BASE}/channels/{{channel}}/messages", self._post),
            web.get(f"{BASE}/channels/{{channel}}/messages", self._history),
            web.patch(f"{BASE}/channels/{{channel}}/messages/{{id}}", self._edit_posted),
            web.route("*", "/{path:.*}", self._unknown),
        ]

    async def _me(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bot {payloads.TOKEN}":
            return _refused(401, 0, "401: Unauthorized")

        if request.path.endswith("/users/@me"):
            return _answer(payloads.user(payloads.APPLICATION_ID, bot=True))

        return _answer(payloads.application())

    async def _find_gateway(self, request: web.Request) -> web.Response:
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        url = f"ws://{request.host}/gateway/"

        return _answer({"url": url, "shards": 1, "session_start_limit": limit})

    async def _servers(self, request: web.Request) -> web.Response:
        return _answer([] if "after" in request.query else [payloads.guild()])

    async def _register(self, request: web.Request) -> web.Response:
        where = request.match_info.get("guild")
        if where == "400":
            return _refused(400, 50035, "Invalid Form Body")

        if where == "403":
            return _refused(403, 50001, "Missing Access")

        if where == "404":
            return _refused(404, 10004, "Unknown Guild")

        self._world.commands[where] = await request.json()

        return await self._registered(request)

    async def _registered(self, request: web.Request) -> web.Response:
        commands = self._world.commands.get(request.match_info.get("guild"), [])
        common = {
            "application_id": str(payloads.APPLICATION_ID),
            "version": "1",
            "description": "",  # of a context menu
            "default_member_permissions": None,
        }

        return _answer(
            [
                {"id": str(payloads.COMMAND_ID + number), **common, **command}
                for number, command in enumerate(commands)
            ]
        )

    async def _callback(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        now = time.monotonic()
        interaction = self._world.interactions.get(request.match_info["token"])
        if interaction is None or now - interaction.sent_at > ACKNOWLEDGE_WITHIN_S:
            self._world.late += 1
            return _refused(404, 10062, "Unknown interaction")

        if interaction.acknowledged.done():
            return _refused(400, 40060, "Interaction has already been acknowledged.")

        interaction.acknowledged.set_result(now)
        kind = body["type"]
        message = self._respond(interaction, kind, body.get("data") or {}, files)
        interaction.original = message
        readable = message is not None and kind in (MESSAGE, UPDATE)
        if message is not None and readable:
            self._world.tell(interaction, message)

        return _answer(
            {
                "interaction": {
                    "id": str(interaction.id),
                    "type": 2 if interaction.source is None else 3,
                    "response_message_id": None if message is None else str(message.id),
                    "response_message_loading": kind == DEFERRED_MESSAGE,
                    "response_message_ephemeral": bool(
                        message is not None and message.flags & payloads.EPHEMERAL
                    ),
                },
                **(
                    {"resource": {"type": kind, "message": message.payload()}}
                    if message is not None and readable
                    else {}
                ),
            }
        )

    def _respond(
        self, interaction: Interaction, kind: int, data: Payload, files: dict[str, bytes]
    ) -> Message | None:
        if kind in (MESSAGE, DEFERRED_MESSAGE):
            return self._world.new_message(data, files)

        if kind == UPDATE and interaction.source is not None:
            self._world.change(interaction.source, data, files)

        return interaction.source

    async def _reread(self, request: web.Request) -> web.Response:
        message = self._found(request)

        return _no_message() if message is None else _answer(message.payload())

    async def _edit(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        message = self._found(request)
        if message is None:
            return _no_message()

        self._world.change(message, body, files)
        self._world.tell_owner(self._world.interactions[request.match_info["token"]], message)

        return _answer(message.payload())

    async def _remove(self, request: web.Request) -> web.Response:
        message = self._found(request)
        if message is None:
            return _no_message()

        message.components = []  # nobody can press anything on it

        return web.Response(status=204)

    async def _follow_up(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        interaction = self._world.interactions.get(request.match_info["token"])
        if interaction is None or not interaction.acknowledged.done():
            return _refused(404, 10015, "Unknown Webhook")

        message = self._world.new_message(body, files)
        interaction.followups[message.id] = message
        self._world.tell(interaction, message)

        return _answer(message.payload())

    async def _post(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        nonce = body.get("nonce") if body.get("enforce_nonce") else None
        if nonce is None:
            return _answer(self._world.new_message(body, files).payload())

        if nonce not in self._by_nonce:
            self._by_nonce[nonce] = self._world.new_message(body, files)

        return _answer(self._by_nonce[nonce].payload())

    async def _history(self, request: web.Request) -> web.Response:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        messages = self._world.messages
        found = sorted(message_id for message_id in messages if message_id > after)[:limit]

        return _answer([messages[message_id].payload() for message_id in reversed(found)])

    async def _edit_posted(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        message = self._world.messages.get(int(request.match_info["id"]))
        if message is None:
            return _no_message()

        self._world.change(message, body, files)

        return _answer(message.payload())

    async def _unknown(self, request: web.Request) -> web.Response:
        self._world.unknown.append(f"{request.method} {request.path}")

        return _refused(404, 0, "404: Not Found")

    def _found(self, request: web.Request) -> Message | None:
        interaction = self._world.interactions.get(request.match_info["token"])
        if interaction is None:
            return None

        original, wanted = interaction.original, request.match_info["id"]
        if wanted == "@original" or (original is not None and wanted == str(original.id)):
            return original

        return interaction.followups.get(int(wanted))


def _reset(request: web.Request) -> None:
    """End the connection with RST instead of FIN."""
    transport = request.transport
    assert transport is not None
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _read(request: web.Request) -> tuple[Payload, dict[str, bytes]]:
    """The JSON body and the files; split by hand, for benchmarks send megabytes through here."""
    body = await request.read()
    if request.content_type != "multipart/form-data":
        return json.loads(body), {}

    given: Payload = {}
    files: dict[str, bytes] = {}
    boundary = request.headers["Content-Type"].partition("boundary=")[2].strip('"')
    for part in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        if name == "payload_json":
            given = json.loads(content)
        else:
            files[name] = content.removesuffix(b"\r\n")

    return given, files


def _answer(payload: Payload | list[Payload], *, status: int = 200) -> web.Response:
    body = json.dumps(payload).encode()

    return web.Response(status=status, body=body, content_type="application/json")


def _refused(status: int, code: int, text: str) -> web.Response:
    return _answer({"code": code, "message": text}, status=status)


def _no_message() -> web.Response:
    return _refused(404, 10008, "Unknown Message")

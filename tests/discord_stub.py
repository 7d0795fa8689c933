"""A stand-in for Discord on the loopback: the nearest real thing at the vendor's seam.

Real discord.py logs in to it, connects to its gateway and answers its interactions over HTTP, so
the whole unmodified program runs against it. It keeps the rules that bite: an interaction is
answered within 3 s and once, a token is needed, attachments left out of an edit are gone. What it
does not have: rate limits, permissions, other people's messages, compression.
"""

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import WSMsgType, web

from tests import discord_payloads as payloads
from tests.discord_payloads import Message, Payload

ACKNOWLEDGE_WITHIN_S = 3.0
HEARTBEAT_MS = 41_250
DISCORD_EPOCH_MS = 1_420_070_400_000

MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE = 4, 5, 6, 7


class Disconnected(Exception):  # noqa: N818  # a state of the line, like asyncio's QueueEmpty
    """The program's gateway connection ended before it answered."""


@dataclass(slots=True, eq=False)
class Interaction:
    """Something a member did, and what came back. The futures raise Disconnected."""

    id: int
    token: str
    user_id: int
    sent_at: float
    acknowledged: asyncio.Future[float]  # when the callback arrived, in time.monotonic()
    answered: asyncio.Future[Message]  # the first message with something to read
    posted: asyncio.Future[Message]  # a message with attachments
    source: Message | None = None  # the message whose button was pressed
    original: Message | None = None
    followups: dict[int, Message] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the press to its acknowledgement."""
        return self.acknowledged.result() - self.sent_at

    def futures(self) -> tuple[asyncio.Future[Any], ...]:
        """All that may still be waited for."""
        return (self.acknowledged, self.answered, self.posted)


class DiscordStub:
    """One server, one channel, one bot, any number of members.

    Public messages stay in `messages` for as long as the stub lives; `sha256` has the hash of
    every file that was ever attached, by its name; `unknown` lists requests it has no answer to,
    and `late` counts acknowledgements that came too late to be taken.
    """

    def __init__(self) -> None:
        self.url = ""
        self.messages: dict[int, Message] = {}
        self.sha256: dict[str, str] = {}
        self.commands: list[Payload] = []
        self.unknown: list[str] = []
        self.late = 0
        self.connected = asyncio.Event()
        self._socket: web.WebSocketResponse | None = None
        self._sequence = itertools.count(1)
        self._counter = itertools.count()
        self._interactions: dict[str, Interaction] = {}
        self._open: dict[str, Interaction] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Listen on a free port of the loopback while the context lasts."""
        stub = cls()
        runner = web.AppRunner(stub._application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v10"
            yield stub
        finally:
            if stub._socket is not None:
                await stub._socket.close()

            await runner.cleanup()

    async def command(self, user_id: int, name: str, **options: str | int | float) -> Interaction:
        """A member sends a slash command. Raises Disconnected when no program is connected."""
        return await self._send(user_id, payloads.command(name, options), message=None)

    async def press(self, user_id: int, message: Message, custom_id: str) -> Interaction:
        """A member presses a button of the message. Raises Disconnected."""
        data = {"component_type": payloads.BUTTON, "custom_id": custom_id}

        return await self._send(user_id, data, message=message)

    def add_message(self, components: list[Payload]) -> Message:
        """A message that the bot posted before the stub knew it."""
        message = Message(self._snowflake(), flags=1 << 15)
        message.components = payloads.as_kept(components, [])
        self.messages[message.id] = message

        return message

    async def _send(self, user_id: int, data: Payload, *, message: Message | None) -> Interaction:
        socket = self._socket
        if socket is None:
            raise Disconnected

        loop = asyncio.get_running_loop()
        interaction = Interaction(
            id=self._snowflake(),
            token=f"token-{next(self._counter)}",
            user_id=user_id,
            sent_at=time.monotonic(),
            acknowledged=loop.create_future(),
            answered=loop.create_future(),
            posted=loop.create_future(),
            source=message,
        )
        self._interactions[interaction.token] = interaction
        self._open[interaction.token] = interaction
        try:
            await self._dispatch(
                socket,
                "INTERACTION_CREATE",
                payloads.interaction(
                    interaction_id=interaction.id,
                    token=interaction.token,
                    user_id=user_id,
                    data=data,
                    message=message,
                ),
            )
        except ConnectionError as exc:
            raise Disconnected from exc

        return interaction

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=64 * 2**20)
        application.add_routes(
            [
                web.get("/gateway/", self._gateway),
                web.get("/api/v10/users/@me", self._me),
                web.get("/api/v10/oauth2/applications/@me", self._me),
                web.get("/api/v10/gateway/bot", self._find_gateway),
                web.put("/api/v10/applications/{application}/commands", self._register),
                web.post("/api/v10/interactions/{id}/{token}/callback", self._callback),
                web.get("/api/v10/webhooks/{app}/{token}/messages/{id}", self._reread),
                web.patch("/api/v10/webhooks/{app}/{token}/messages/{id}", self._edit),
                web.post("/api/v10/webhooks/{app}/{token}", self._follow_up),
                web.post("/api/v10/channels/{channel}/messages", self._post),
                web.patch("/api/v10/channels/{channel}/messages/{id}", self._edit_posted),
                web.route("*", "/{path:.*}", self._unknown),
            ]
        )

        return application

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": HEARTBEAT_MS}})
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._received(socket, json.loads(frame.data))
        except ConnectionError:
            pass  # a killed program does not say goodbye
        finally:
            if self._socket is socket:
                self._socket = None
                self.connected.clear()
                self._give_up()

        return socket

    async def _received(self, socket: web.WebSocketResponse, message: Payload) -> None:
        match message["op"]:
            case 1:
                await socket.send_json({"op": 11})
            case 2 | 6:
                if message["d"]["token"] != payloads.TOKEN:
                    await socket.close(code=4004)
                    return

                if message["op"] == 2:
                    shard = message["d"].get("shard", [0, 1])
                    await self._dispatch(socket, "READY", payloads.ready(self._gateway_url, shard))
                    await self._dispatch(socket, "GUILD_CREATE", payloads.guild())
                else:
                    await self._dispatch(socket, "RESUMED", {})

                self._socket = socket
                self.connected.set()
            case _:
                pass

    async def _dispatch(self, socket: web.WebSocketResponse, event: str, data: Payload) -> None:
        await socket.send_json({"op": 0, "t": event, "s": next(self._sequence), "d": data})

    def _give_up(self) -> None:
        for interaction in self._open.values():
            for future in interaction.futures():
                if not future.done():
                    future.set_exception(Disconnected())
                    future.exception()  # seen: nobody has to wait for it

        self._open.clear()

    async def _me(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bot {payloads.TOKEN}":
            return _refused(401, 0, "401: Unauthorized")

        if request.path.endswith("/users/@me"):
            return _answer(payloads.user(payloads.APPLICATION_ID, bot=True))

        return _answer(payloads.application())

    async def _find_gateway(self, request: web.Request) -> web.Response:
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}

        return _answer({"url": self._gateway_url, "shards": 1, "session_start_limit": limit})

    async def _register(self, request: web.Request) -> web.Response:
        self.commands = await request.json()
        common = {
            "application_id": str(payloads.APPLICATION_ID),
            "version": "1",
            "default_member_permissions": None,
        }

        return _answer(
            [
                {"id": str(payloads.COMMAND_ID + n), **common, **command}
                for n, command in enumerate(self.commands)
            ]
        )

    async def _callback(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        now = time.monotonic()
        interaction = self._interactions.get(request.match_info["token"])
        if interaction is None or now - interaction.sent_at > ACKNOWLEDGE_WITHIN_S:
            self.late += 1
            return _refused(404, 10062, "Unknown interaction")

        if interaction.acknowledged.done():
            return _refused(400, 40060, "Interaction has already been acknowledged.")

        data = body.get("data") or {}
        kind = body["type"]
        message = None
        if kind in (MESSAGE, DEFERRED_MESSAGE):
            message = interaction.original = Message(self._snowflake())
            self._change(message, data, files)
            if not message.flags & payloads.EPHEMERAL:
                self.messages[message.id] = message
        elif kind in (UPDATE, DEFERRED_UPDATE):
            message = interaction.original = interaction.source
            if kind == UPDATE and message is not None:
                self._change(message, data, files)

        interaction.acknowledged.set_result(now)
        if kind in (MESSAGE, UPDATE) and message is not None:
            self._tell(interaction, message)

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
                    if kind in (MESSAGE, UPDATE) and message is not None
                    else {}
                ),
            }
        )

    async def _reread(self, request: web.Request) -> web.Response:
        message = self._found(request)

        return _no_message() if message is None else _answer(message.payload())

    async def _edit(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        message = self._found(request)
        if message is None:
            return _no_message()

        self._change(message, body, files)
        self._tell(self._interactions[request.match_info["token"]], message)

        return _answer(message.payload())

    async def _follow_up(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        interaction = self._interactions.get(request.match_info["token"])
        if interaction is None or not interaction.acknowledged.done():
            return _refused(404, 10015, "Unknown Webhook")

        message = Message(self._snowflake())
        self._change(message, body, files)
        interaction.followups[message.id] = message
        if not message.flags & payloads.EPHEMERAL:
            self.messages[message.id] = message

        self._tell(interaction, message)

        return _answer(message.payload())

    async def _post(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        message = Message(self._snowflake())
        self._change(message, body, files)
        self.messages[message.id] = message

        return _answer(message.payload())

    async def _edit_posted(self, request: web.Request) -> web.Response:
        body, files = await _read(request)
        message = self.messages.get(int(request.match_info["id"]))
        if message is None:
            return _no_message()

        self._change(message, body, files)

        return _answer(message.payload())

    async def _unknown(self, request: web.Request) -> web.Response:
        self.unknown.append(f"{request.method} {request.path}")

        return _refused(404, 0, "404: Not Found")

    def _found(self, request: web.Request) -> Message | None:
        interaction = self._interactions.get(request.match_info["token"])
        if interaction is None:
            return None

        if request.match_info["id"] == "@original":
            return interaction.original

        return interaction.followups.get(int(request.match_info["id"]))

    def _tell(self, interaction: Interaction, message: Message) -> None:
        if not interaction.answered.done():
            interaction.answered.set_result(message)

        if message.attachments and not interaction.posted.done():
            interaction.posted.set_result(message)

        if interaction.source is not None or interaction.posted.done():
            self._open.pop(interaction.token, None)

    def _change(self, message: Message, data: Payload, files: dict[str, bytes]) -> None:
        message.content = data.get("content", message.content) or ""
        message.flags = data.get("flags", message.flags)
        if "attachments" in data:
            kept = {attachment["id"]: attachment for attachment in message.attachments}
            message.attachments = [
                kept.get(str(given["id"])) or self._attached(given, files)
                for given in data["attachments"]
            ]

        if "components" in data:
            message.components = payloads.as_kept(data["components"], message.attachments)

    def _attached(self, given: Payload, files: dict[str, bytes]) -> Payload:
        content = files[f"files[{given['id']}]"]
        self.sha256[given["filename"]] = hashlib.sha256(content).hexdigest()

        return payloads.attachment(
            attachment_id=self._snowflake(),
            filename=given["filename"],
            size_bytes=len(content),
            alt=given.get("description"),
        )

    def _snowflake(self) -> int:
        """An id with the time in it, as Discord's: clients read an interaction's age there."""
        now_ms = int(time.time() * 1000) - DISCORD_EPOCH_MS

        return now_ms << 22 | next(self._counter) & 0x3FFFFF

    @property
    def _gateway_url(self) -> str:
        return self.url.replace("http://", "ws://").replace("/api/v10", "/gateway/")


async def _read(request: web.Request) -> tuple[Payload, dict[str, bytes]]:
    """The JSON body and the files; split by hand, for megabytes go through here in benchmarks."""
    body = await request.read()
    if request.content_type != "multipart/form-data":
        return json.loads(body), {}

    given: Payload = {}
    files: dict[str, bytes] = {}
    boundary = b"--" + _boundary(request)
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        if name == "payload_json":
            given = json.loads(content)
        else:
            files[name] = content.removesuffix(b"\r\n")

    return given, files


def _boundary(request: web.Request) -> bytes:
    return request.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()


def _answer(payload: Payload | list[Payload], *, status: int = 200) -> web.Response:
    body = json.dumps(payload).encode()

    return web.Response(status=status, body=body, content_type="application/json")


def _refused(status: int, code: int, text: str) -> web.Response:
    return _answer({"code": code, "message": text}, status=status)


def _no_message() -> web.Response:
    return _refused(404, 10008, "Unknown Message")

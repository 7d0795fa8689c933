"""A stand-in for Discord on the loopback: the nearest real thing at the vendor's seam.

Real discord.py logs in to it, connects to its gateway and answers its interactions over HTTP, so
the whole unmodified program runs against it. It keeps the rules that bite: an interaction is
answered within 3 s and once, a token is needed, attachments left out of an edit are gone. What it
does not have: rate limits, permissions, other people's messages, compression.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import WSMsgType, web

from tests.support.discord import payloads as payloads
from tests.support.discord.channel import Disconnected, DiscordWorld, Interaction
from tests.support.discord.payloads import Message, Payload
from tests.support.discord.rest import BASE, DiscordRest

HEARTBEAT_MS = 41_250
HEARTBEAT, IDENTIFY, RESUME, HELLO, HEARTBEAT_ACK = 1, 2, 6, 10, 11


class DiscordStub(DiscordWorld):
    """One server, one channel, one bot, any number of members."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.connected = asyncio.Event()
        self.disconnected = asyncio.Event()
        self.disconnected.set()
        self._socket: web.WebSocketResponse | None = None
        self._refusing = False
        self._sequence = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Listen on a free port of the loopback while the context lasts."""
        stub = cls()
        rest = DiscordRest(stub)
        application = web.Application(client_max_size=64 * 2**20, middlewares=[rest.faults])
        application.add_routes([web.get("/gateway/", stub._gateway), *rest.routes()])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}{BASE}"
            yield stub
        finally:
            if stub._socket is not None:
                await stub._socket.close()

            await runner.cleanup()

    async def command(self, user_id: int, name: str, **options: str | int | float) -> Interaction:
        """A member sends a slash command. Raises Disconnected when no program is connected."""
        return await self._send(user_id, payloads.command(name, options), source=None)

    async def press(self, user_id: int, message: Message, custom_id: str) -> Interaction:
        """A member presses a button of the message. Raises Disconnected."""
        data = {"component_type": payloads.BUTTON, "custom_id": custom_id}

        return await self._send(user_id, data, source=message)

    async def hang_up(self) -> None:
        """Discord ends the gateway connection, and takes no new one."""
        self._refusing = True
        if self._socket is not None:
            await self._socket.close()

    async def send_event(self, event: str, data: Payload) -> None:
        """Any event, as it is."""
        assert self._socket is not None
        await self._dispatch(self._socket, event, data)

    async def close_gateway(self, code: int) -> None:
        """End the gateway connection with this close code."""
        assert self._socket is not None
        await self._socket.close(code=code)

    async def _send(self, user_id: int, data: Payload, *, source: Message | None) -> Interaction:
        socket = self._socket
        if socket is None:
            raise Disconnected

        interaction = self.begin(user_id, source, data.get("custom_id", ""))
        event = payloads.interaction(
            interaction_id=interaction.id,
            token=interaction.token,
            user_id=user_id,
            data=data,
            message=source,
        )
        try:
            await self._dispatch(socket, "INTERACTION_CREATE", event)
        except ConnectionError as exc:
            raise Disconnected from exc

        return interaction

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        if self._refusing:
            raise web.HTTPServiceUnavailable

        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": HEARTBEAT_MS}})
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
                self.disconnected.set()
                self.give_up()

        return socket

    async def _received(self, socket: web.WebSocketResponse, message: Payload) -> None:
        if message["op"] == HEARTBEAT:
            await socket.send_json({"op": HEARTBEAT_ACK})
        elif message["op"] in (IDENTIFY, RESUME):
            if message["d"]["token"] == payloads.TOKEN:
                await self._welcome(socket, message)
            else:
                await socket.close(code=4004)

    async def _welcome(self, socket: web.WebSocketResponse, message: Payload) -> None:
        if message["op"] == IDENTIFY:
            url = self.url.replace("http://", "ws://").removesuffix(BASE) + "/gateway/"
            shard = message["d"].get("shard", [0, 1])
            await self._dispatch(socket, "READY", payloads.ready(url, shard))
            await self._dispatch(socket, "GUILD_CREATE", payloads.guild())
        else:
            await self._dispatch(socket, "RESUMED", {})

        self._socket = socket
        self.disconnected.clear()
        self.connected.set()

    async def _dispatch(self, socket: web.WebSocketResponse, event: str, data: Payload) -> None:
        await socket.send_json({"op": 0, "t": event, "s": next(self._sequence), "d": data})

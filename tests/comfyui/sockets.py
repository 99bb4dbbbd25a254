"""The sockets of the ComfyUI that tests run against: who is told what, and who never again."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from uuid import uuid4

import attrs

Message = str | bytes | None
"""What is sent; None closes the socket."""


@attrs.define(eq=False)
class Socket:
    """One socket.

    Attributes:
        flags: What its first message said that it can.
        received: What came from the client.
    """

    sid: str
    flags: Mapping[str, Any] = attrs.field(factory=dict)
    received: list[Any] = attrs.field(factory=list)
    outbox: asyncio.Queue[Message] = attrs.field(factory=asyncio.Queue)


@attrs.define(eq=False)
class Sockets:
    """All of them.

    Attributes:
        open: By name; a second of one name takes the messages over, and the first hears no more.
        ever: Every one that was opened, in order.
        refused: Whether none is opened: a proxy that lets no socket through.
        deaf: Whether none is told anything but its greeting.
    """

    open: dict[str, Socket] = attrs.field(factory=dict)
    ever: list[Socket] = attrs.field(factory=list)
    refused: bool = False
    deaf: bool = False

    async def serve(
        self,
        sid: str | None,
        waiting: int,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one socket until it ends."""
        await receive()
        if self.refused:
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        socket = Socket(sid or uuid4().hex)
        self.open[socket.sid] = socket
        self.ever.append(socket)
        queue = {"exec_info": {"queue_remaining": waiting}}
        greeting = {"type": "status", "data": {"status": queue, "sid": socket.sid}}
        socket.outbox.put_nowait(json.dumps(greeting))
        sending = asyncio.ensure_future(_send_all(socket, send))
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                self._heard(socket, json.loads(message["text"]))
        finally:
            sending.cancel()
            self.open.pop(socket.sid, None)  # whoever has the name now

    def _heard(self, socket: Socket, message: Mapping[str, Any]) -> None:
        first = not socket.received
        socket.received.append(message)
        if first and message.get("type") == "feature_flags":
            socket.flags = message["data"]
            answer = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
            socket.outbox.put_nowait(json.dumps(answer))

    def tell(self, sid: str | None, kind: str, data: Mapping[str, Any]) -> None:
        """Tell one of them, or all where there is no name."""
        text = json.dumps({"type": kind, "data": data})
        for name, socket in self.open.items():
            if sid in (None, name) and not self.deaf:
                socket.outbox.put_nowait(text)

    def show(self, sid: str | None, picture: bytes, told: Mapping[str, Any]) -> None:
        """Show a preview: with a word of whose it is where the client understands that."""
        for name, socket in self.open.items():
            if sid not in (None, name) or self.deaf:
                continue
            if socket.flags.get("supports_preview_metadata"):
                head = json.dumps({**told, "image_type": "image/jpeg"}).encode()
                message = struct.pack(">II", 4, len(head)) + head + picture
            else:
                message = struct.pack(">II", 1, 1) + picture
            socket.outbox.put_nowait(message)

    def drop(self) -> None:
        """Close all of them."""
        for socket in list(self.open.values()):
            socket.outbox.put_nowait(None)


async def _send_all(
    socket: Socket, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]
) -> None:
    while (message := await socket.outbox.get()) is not None:
        kind = "text" if isinstance(message, str) else "bytes"
        await send({"type": "websocket.send", kind: message})
    await send({"type": "websocket.close", "code": 1001})

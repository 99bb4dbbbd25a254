"""A wire to a server that can be cut, slowed and garbled: a proxy of bytes on a port of its own."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

import anyio
import attrs
from anyio.abc import SocketAttribute, SocketStream, TaskStatus
from anyio.from_thread import start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream


class Fault(StrEnum):
    """What happens to one exchange."""

    RESET_UNHEARD = "reset before the server heard of it"
    RESET_BEFORE = "reset before the answer"
    RESET_IN_BODY = "reset in the middle of the body"
    CLOSE_IN_BODY = "closed in the middle of the body"
    TRUNCATED_JSON = "JSON that ends early, in an answer that is complete"
    WRONG_TYPE = "a page of HTML in place of JSON"
    BAD_GATEWAY = "a proxy that says the server is away"
    SILENCE = "nothing for a while"
    DRIP = "a few bytes at a time"


_HARMLESS = (Fault.SILENCE, Fault.DRIP)


@attrs.define(eq=False)
class Wire:
    """A wire to one server.

    Attributes:
        path: The exchange that the fault befalls, by a part of its request line.
        left: How often it still does.
        seconds: How long a silence lasts.
        befell: How often it did.
    """

    target: tuple[str, int]
    fault: Fault | None = None
    path: str = "txt2img"
    left: int = 1
    seconds: float = 1.0
    befell: int = 0
    url: str = ""

    async def carry(self, client: SocketStream) -> None:
        """Carry one connection, request by request; what breaks is its last."""
        with suppress(*_OVER):
            async with client, await anyio.connect_tcp(*self.target) as server:
                asked, answers = (
                    BufferedByteReceiveStream(client),
                    BufferedByteReceiveStream(server),
                )
                while True:
                    head, body = await _message(asked)
                    struck = self._struck(head)
                    if struck is Fault.RESET_UNHEARD:
                        _reset(client)
                        return
                    await server.send(head + body)
                    if b"upgrade: websocket" in head.lower():
                        await _both_ways(client, server)
                        return
                    await self._back(answers, client, struck)
                    if struck and struck not in _HARMLESS:
                        return

    def _struck(self, head: bytes) -> Fault | None:
        line = head.partition(b"\r\n")[0].decode("latin-1")
        if not self.fault or self.path not in line or self.left <= 0:
            return None
        self.left -= 1
        self.befell += 1
        return self.fault

    async def _back(
        self, answers: BufferedByteReceiveStream, client: SocketStream, fault: Fault | None
    ) -> None:
        if fault is Fault.RESET_BEFORE:
            await anyio.sleep(0.2)
            _reset(client)
            return
        if fault is Fault.SILENCE:
            await anyio.sleep(self.seconds)
        head, body = await _message(answers)
        await self._answer(client, fault, head, body)

    async def _answer(
        self, client: SocketStream, fault: Fault | None, head: bytes, body: bytes
    ) -> None:
        if fault in (Fault.RESET_IN_BODY, Fault.CLOSE_IN_BODY):
            await client.send(head + body[: len(body) // 2])
            if fault is Fault.RESET_IN_BODY:
                await anyio.sleep(0.05)
                _reset(client)
        elif fault is Fault.TRUNCATED_JSON:
            await client.send(_answer("200 OK", "application/json", body[: len(body) // 2]))
        elif fault is Fault.WRONG_TYPE:
            page = b"<html><title>Log in</title><p>Please log in to the hotel's network</html>"
            await client.send(_answer("200 OK", "text/html", page))
        elif fault is Fault.BAD_GATEWAY:
            page = b"<html><h1>502 Bad Gateway</h1></html>"
            await client.send(_answer("502 Bad Gateway", "text/html", page))
        elif fault is Fault.DRIP:
            await client.send(head)
            piece = max(len(body) // 20, 1)
            for start in range(0, len(body), piece):
                await client.send(body[start : start + piece])
                await anyio.sleep(self.seconds / 20)
        else:
            await client.send(head + body)


_OVER = (
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
)


async def _message(stream: BufferedByteReceiveStream) -> tuple[bytes, bytes]:
    """Return head and body of what comes next."""
    head = await stream.receive_until(b"\r\n\r\n", 65_536) + b"\r\n\r\n"
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
    return head, await stream.receive_exactly(int(length or 0))


async def _both_ways(client: SocketStream, server: SocketStream) -> None:
    async def carry(source: SocketStream, target: SocketStream) -> None:
        with suppress(*_OVER):
            while True:
                await target.send(await source.receive())
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry, client, server)
        await carry(server, client)


def _answer(status: str, kind: str, body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _reset(client: SocketStream) -> None:
    """Have the connection reset, not closed, when it is left."""
    raw = client.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def wired(url: str, fault: Fault | None = None, **how: object) -> Iterator[Wire]:
    """Put a wire before a server for as long as this is entered."""
    host, _, port = url.removeprefix("http://").partition(":")
    wire = Wire((host, int(port)), fault, **how)  # type: ignore[arg-type]  # named as in the class

    async def main(task_status: TaskStatus[None]) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        wire.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        async with listener:
            task_status.started()
            await listener.serve(wire.carry)

    with start_blocking_portal() as portal:
        serving, _ = portal.start_task(main, name="wire")
        try:
            yield wire
        finally:
            serving.cancel()

"""A wire to a server that can be cut, slowed and garbled: a proxy of bytes on a port of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

import attrs


class Fault(StrEnum):
    """What happens to one exchange."""

    RESET_BEFORE = "reset before the answer"
    RESET_IN_BODY = "reset in the middle of the body"
    CLOSE_IN_BODY = "closed in the middle of the body"
    TRUNCATED_JSON = "JSON that ends early, in an answer that is complete"
    WRONG_TYPE = "a page of HTML in place of JSON"
    BAD_GATEWAY = "a proxy that says the server is away"
    SILENCE = "nothing for a while"
    DRIP = "a few bytes at a time"


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

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection; the fault befalls the first request on it that it is meant for."""
        try:
            there = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        first = await reader.read(65_536)
        line = first.partition(b"\r\n")[0].decode("latin-1")
        struck = self.fault if self.fault and self.path in line and self.left > 0 else None
        if struck:
            self.left -= 1
            self.befell += 1
        there[1].write(first)
        back = asyncio.ensure_future(self._back(there[0], writer, struck))
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                there[1].write(piece)
        if struck is None:  # the server works on for a client whose connection was cut
            there[1].close()
        with suppress(ConnectionError):
            await back
        there[1].close()

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None
    ) -> None:
        if fault is None:
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
            writer.close()
            return
        if fault is Fault.RESET_BEFORE:
            await asyncio.sleep(0.2)
            _reset(writer)
            return
        if fault is Fault.SILENCE:
            await asyncio.sleep(self.seconds)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        body = await reader.readexactly(length)
        await self._answer(writer, fault, head, body)

    async def _answer(
        self, writer: asyncio.StreamWriter, fault: Fault, head: bytes, body: bytes
    ) -> None:
        if fault in (Fault.RESET_IN_BODY, Fault.CLOSE_IN_BODY):
            writer.write(head + body[: len(body) // 2])
            await writer.drain()
            if fault is Fault.RESET_IN_BODY:
                await asyncio.sleep(0.05)
                _reset(writer)
        elif fault is Fault.TRUNCATED_JSON:
            writer.write(_answer("200 OK", "application/json", body[: len(body) // 2]))
        elif fault is Fault.WRONG_TYPE:
            page = b"<html><title>Log in</title><p>Please log in to the hotel's network</html>"
            writer.write(_answer("200 OK", "text/html", page))
        elif fault is Fault.BAD_GATEWAY:
            page = b"<html><h1>502 Bad Gateway</h1></html>"
            writer.write(_answer("502 Bad Gateway", "text/html", page))
        elif fault is Fault.DRIP:
            writer.write(head)
            piece = max(len(body) // 20, 1)
            for start in range(0, len(body), piece):
                writer.write(body[start : start + piece])
                await writer.drain()
                await asyncio.sleep(self.seconds / 20)
        else:
            writer.write(head + body)
        with suppress(ConnectionError):
            await writer.drain()
            writer.close()


def _answer(status: str, kind: str, body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def wired(url: str, fault: Fault | None = None, **how: object) -> Iterator[Wire]:
    """Put a wire before a server for as long as this is entered."""
    host, _, port = url.removeprefix("http://").partition(":")
    wire = Wire((host, int(port)), fault, **how)  # type: ignore[arg-type]  # named as in the class
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        wire.url = f"http://127.0.0.1:{port}"
        ready.set()
        await stop.wait()
        server.close()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run, name="wire")
    thread.start()
    ready.wait(5)
    try:
        yield wire
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)

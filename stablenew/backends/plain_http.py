"""HTTP/1.1 over plain sockets, by h11: no TLS, no proxy, no redirects.

So are nearly all servers reached, and each is asked several times for a picture: a short GET takes
0.13 ms here and 0.46 ms through a client of httpx2, an answer of 250 kB 0.3 and 0.9. Whatever else
there is goes through that (`library_http.py`), whose errors these are.
"""

from __future__ import annotations

import select
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import anyio
import attrs
import h11
import httpx2
from anyio.abc import SocketAttribute, SocketStream

from stablenew.backends.answers import Answer
from stablenew.backends.http_request import (
    CONNECT_TIMEOUT,
    LARGEST_ANSWER,
    PIECE,
    HttpRequest,
)
from stablenew.errors import BackendProtocolError

_LARGEST_HEAD = 100 * 1024
"""Bytes of the headers of an answer."""

_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"
"""Letters of a path that are sent as they are."""

_LOST = (anyio.BrokenResourceError, anyio.ClosedResourceError)


@attrs.define(eq=False)
class _Connection:
    """A connection: what it is at, and since when it is idle."""

    stream: SocketStream
    state: h11.Connection
    idle_since: float = 0.0

    async def close(self) -> None:
        await anyio.aclose_forcefully(self.stream)


class PlainHttp:
    """Connections without TLS to one server.

    Args:
        url: The server's: `http://…`, without credentials.
        headers: Sent with each request.
        most: Connections at the same time.
        kept_alive: Seconds that an idle one is used again.
    """

    def __init__(self, url: str, headers: dict[str, str], *, most: int, kept_alive: float) -> None:
        parts = httpx2.URL(url)
        self._host, self._port = parts.raw_host.decode("ascii"), parts.port or 80
        self._prefix = parts.raw_path.decode("ascii").rstrip("/")
        self._headers = [("host", parts.netloc.decode("ascii")), *headers.items()]
        self._places = anyio.Semaphore(most, fast_acquire=True)
        self._kept_alive = kept_alive
        self._idle: list[_Connection] = []

    async def ask(self, request: HttpRequest) -> Answer:
        """Return the answer to a request; see `HttpConnections`."""
        async with self._places:
            connection = await self._free() or await self._connected()
            try:
                await _sent(connection, self._head(request), request)
                answer = await _answer(connection, request)
            except BaseException:
                await connection.close()
                raise
            await self._keep(connection)
            return answer

    async def aclose(self) -> None:
        """Close what is idle; what is not is closed by whoever asks there."""
        while self._idle:
            await self._idle.pop().close()

    def _head(self, request: HttpRequest) -> h11.Request:
        headers = list(self._headers)
        if request.content is not None:
            headers.append(("content-type", request.content_type))
        if request.content is not None or request.method == "POST":
            headers.append(("content-length", str(len(request.content or b""))))
        target = quote(self._prefix + request.path, safe=_AS_IT_IS)
        return h11.Request(method=request.method, target=target, headers=headers)

    async def _free(self) -> _Connection | None:
        """Return an idle connection that the server has not left."""
        since = time.monotonic() - self._kept_alive
        idle, self._idle = self._idle, []
        found: _Connection | None = None
        for connection in reversed(idle):
            if connection.idle_since < since or _is_readable(connection.stream):
                await connection.close()
            elif found is None:
                found = connection
            else:
                self._idle.insert(0, connection)
        return found

    async def _connected(self) -> _Connection:
        try:
            with anyio.fail_after(CONNECT_TIMEOUT):
                stream = await anyio.connect_tcp(self._host, self._port)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("") from error
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(str(error)) from error
        state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
        return _Connection(stream, state)

    async def _keep(self, connection: _Connection) -> None:
        state = connection.state
        if state.our_state is h11.DONE and state.their_state is h11.DONE:
            state.start_next_cycle()
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            await connection.close()


async def _sent(connection: _Connection, head: h11.Request, request: HttpRequest) -> None:
    """Send a request; a server may have closed its ear and answer all the same."""
    state, content = connection.state, request.content or b""
    with _telling(httpx2.WriteTimeout, httpx2.WriteError):
        try:
            waiting = state.send(head) or b""
            for start in range(0, len(content), PIECE):
                piece = state.send(h11.Data(data=content[start : start + PIECE])) or b""
                with anyio.fail_after(request.timeout):
                    await connection.stream.send(waiting + piece)
                waiting = b""
            state.send(h11.EndOfMessage())
            if waiting:
                with anyio.fail_after(request.timeout):
                    await connection.stream.send(waiting)
        except _LOST:
            state.send_failed()
    request.leaving()


async def _answer(connection: _Connection, request: HttpRequest) -> Answer:
    """Read the answer to a request.

    Raises:
        BackendProtocolError: It is too large.
        httpx2.TransportError: It ends before its end, or is no HTTP.
    """
    head, body = await _event(connection, request), bytearray()
    while not isinstance(head, h11.Response):
        head = await _event(connection, request)
    request.arriving()
    headers = dict(head.headers)
    _check_size(int(headers.get(b"content-length", 0)))
    while isinstance(piece := await _event(connection, request), h11.Data):
        request.arriving()
        body += piece.data
        _check_size(len(body))
    kind = headers.get(b"content-type", b"").decode("latin-1")
    encoding = headers.get(b"content-encoding", b"")
    return Answer(status=head.status_code, content_type=kind, body=_decoded(body, encoding))


def _check_size(size: int) -> None:
    if size > LARGEST_ANSWER:
        raise BackendProtocolError(
            f"the answer is larger than {LARGEST_ANSWER:,} bytes; it is not taken"
        )


async def _event(connection: _Connection, request: HttpRequest) -> object:
    """Return what comes next of an answer."""
    with _telling(httpx2.ReadTimeout, httpx2.ReadError):
        while (event := connection.state.next_event()) is h11.NEED_DATA:
            try:
                with anyio.fail_after(request.timeout):
                    data = await connection.stream.receive(PIECE)
            except anyio.EndOfStream:
                data = b""
                if connection.state.their_state is h11.SEND_RESPONSE:
                    raise httpx2.RemoteProtocolError(
                        "the server closed the connection without an answer"
                    ) from None
            connection.state.receive_data(data)
    return event


@contextmanager
def _telling(
    late: type[httpx2.TimeoutException], lost: type[httpx2.NetworkError]
) -> Iterator[None]:
    """Have errors of sockets and of h11 be httpx2's."""
    try:
        yield
    except TimeoutError as error:
        raise late("") from error
    except _LOST as error:
        raise lost(str(error)) from error
    except h11.RemoteProtocolError as error:
        raise httpx2.RemoteProtocolError(str(error)) from error


def _decoded(body: bytearray, encoding: bytes) -> bytes | bytearray:
    """Return a body as it was before a proxy packed it, though nobody had asked for that."""
    if encoding not in (b"gzip", b"deflate"):
        return body
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of either kind
    try:
        unpacked = unpacking.decompress(bytes(body), LARGEST_ANSWER + 1)
    except zlib.error as error:
        raise httpx2.DecodingError(str(error)) from error
    _check_size(len(unpacked))
    if not unpacking.eof:
        raise httpx2.DecodingError("it ends before its end")
    return unpacked


def _is_readable(stream: SocketStream) -> bool:
    """Return whether something has come over an idle connection: its end, or none of ours."""
    raw: socket.socket = stream.extra(SocketAttribute.raw_socket)
    if not hasattr(select, "poll"):
        return bool(select.select([raw], [], [], 0)[0])
    poll = select.poll()
    poll.register(raw, select.POLLIN)
    return bool(poll.poll(0))

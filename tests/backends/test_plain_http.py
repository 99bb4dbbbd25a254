"""HTTP over plain sockets: connections are used again, and odd answers are errors."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import anyio
import attrs
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stablenew.backends import plain_http
from stablenew.backends.http_request import PIECE, HttpRequest
from stablenew.backends.plain_http import PlainHttp
from stablenew.errors import BackendProtocolError
from tests.support import open_handles, until

BOTH_LOOPS = True

GET = HttpRequest(method="GET", path="/progress?a=b c&d=ü", timeout=5.0)
SHORT = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi"
NO_LENGTH = b"HTTP/1.1 200 OK\r\n\r\nall of it"
CHUNKED = (
    b"HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n4\r\n you\r\n0\r\n\r\n"
)
LATER = b"HTTP/1.1 103 Early Hints\r\n\r\n" + SHORT
PACKED = gzip.compress(b"hi", mtime=0)  # it names tests, in every worker
HEAD = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
GZIPPED = HEAD % len(PACKED) + PACKED


@attrs.define(eq=False)
class Script:
    """A server that answers as it is written down, in whatever connection it is asked.

    Attributes:
        answers: What it sends, one for each request; "" for an end without a word.
        leaves: Whether it ends a connection after each answer.
        heads: What it was asked.
        bodies: What came with that, as lengths.
        connections: How often somebody connected.
        ended: How many of those have ended.
    """

    answers: list[bytes]
    leaves: bool = False
    heads: list[bytes] = attrs.field(factory=list)
    bodies: list[int] = attrs.field(factory=list)
    connections: int = 0
    ended: int = 0
    url: str = ""

    async def talk(self, client: SocketStream) -> None:
        self.connections += 1
        with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            async with client:
                asked = BufferedByteReceiveStream(client)
                while True:
                    head = await asked.receive_until(b"\r\n\r\n", 10_000)
                    self.heads.append(head)
                    length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                    self.bodies.append(len(await asked.receive_exactly(int(length or 0))))
                    await client.send(self.answers.pop(0))
                    if self.leaves:
                        break
        self.ended += 1


@asynccontextmanager
async def answering(*answers: bytes, leaves: bool = False) -> AsyncIterator[Script]:
    script = Script([*answers], leaves)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        script.url = f"http://127.0.0.1:{port}/page/"
        async with anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, script.talk)
            yield script
            serving.cancel_scope.cancel()


@asynccontextmanager
async def connected(script: Script, *, most: int = 2, kept: float = 30) -> AsyncIterator[PlainHttp]:
    http = PlainHttp(script.url, {"user-agent": "us"}, most=most, kept_alive=kept)
    yield http
    await http.aclose()


async def bodies(http: PlainHttp, requests: Iterable[HttpRequest]) -> list[tuple[int, bytes]]:
    answers = [await http.ask(request) for request in requests]
    return [(answer.status, bytes(answer.body)) for answer in answers]


async def test_one_connection_is_used_again_for_whatever_shape_of_answer() -> None:
    async with (
        answering(SHORT, CHUNKED, LATER, GZIPPED, SHORT) as script,
        connected(script) as http,
    ):
        told = await bodies(http, [GET] * 5)
    assert told == [(200, b"hi"), (201, b"hi you"), (200, b"hi"), (200, b"hi"), (200, b"hi")]
    assert script.connections == 1
    line, *headers = script.heads[0].lower().split(b"\r\n")
    assert line == b"get /page/progress?a=b%20c&d=%c3%bc http/1.1"
    assert set(headers) == {b"host: " + script.url[7:-6].encode(), b"user-agent: us"}


async def test_what_is_sent_arrives_whole_and_is_told_when_it_has_left() -> None:
    told: list[str] = []
    content = b"x" * (2 * PIECE + 1)
    async with answering(SHORT, SHORT) as script, connected(script) as http:
        request = HttpRequest(
            method="POST",
            path="/a",
            content=content,
            leaving=lambda: told.append("left"),
            arriving=lambda: told.append("arriving"),
        )
        await http.ask(request)
        await http.ask(HttpRequest(method="POST", path="/b"))
    assert script.bodies == [len(content), 0]
    assert told[:2] == ["left", "arriving"]
    assert b"content-type: application/json" in script.heads[0].lower()
    assert b"content-length: 0" in script.heads[1].lower()


async def test_a_connection_that_the_server_left_or_that_is_old_is_not_used_again() -> None:
    async with answering(SHORT, NO_LENGTH, SHORT, leaves=True) as script:
        async with connected(script) as http:
            first = await bodies(http, [GET])
            await until(lambda: script.ended == 1)
            rest = await bodies(http, [GET, GET])
    assert [body for _, body in [*first, *rest]] == [b"hi", b"all of it", b"hi"]
    async with answering(SHORT, SHORT) as script, connected(script, kept=0.0) as http:
        await bodies(http, [GET, GET])
    assert script.connections == 2


async def test_no_more_connections_are_open_than_there_may_be() -> None:
    async with answering(*[SHORT] * 20) as script, connected(script, most=2) as http:
        async with anyio.create_task_group() as asking:
            for _ in range(20):
                asking.start_soon(http.ask, GET)
    assert script.connections <= 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx2.RemoteProtocolError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", httpx2.RemoteProtocolError),
        (SHORT[:-1], httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", httpx2.RemoteProtocolError),
        (GZIPPED[:-1] + b"!", httpx2.DecodingError),
        (GZIPPED[:-9] + b"!!!!!!!!!", httpx2.DecodingError),
    ],
)
async def test_what_is_no_answer_is_told_as_that(answer: bytes, error: type[Exception]) -> None:
    async with answering(answer, leaves=True) as script, connected(script) as http:
        with pytest.raises(error):
            await http.ask(GET)


async def test_silence_is_given_up_and_nobody_there_was_never_asked() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n") as script, connected(script) as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.ask(attrs.evolve(GET, timeout=0.05))
    http = PlainHttp("http://127.0.0.1:9", {}, most=1, kept_alive=1)
    with pytest.raises(httpx2.ConnectError):
        await http.ask(GET)


async def test_what_is_too_large_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_http, "LARGEST_ANSWER", 50)
    chunked = CHUNKED.replace(b"2\r\nhi", b"33\r\n" + bytes(0x33))
    packed = gzip.compress(bytes(1000))
    assert len(packed) < 50
    for answer in (SHORT.replace(b"2\r", b"99\r"), chunked, HEAD % len(packed) + packed):
        async with answering(answer) as script, connected(script) as http:
            with pytest.raises(BackendProtocolError, match="larger than 50 bytes"):
                await http.ask(GET)


async def test_a_request_that_is_cancelled_leaves_no_connection() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n", SHORT) as script, connected(script) as http:
        before = open_handles()
        with anyio.move_on_after(0.05):
            await http.ask(GET)
        await until(lambda: script.ended == 1)
        assert open_handles() <= before
        assert await bodies(http, [GET]) == [(200, b"hi")]

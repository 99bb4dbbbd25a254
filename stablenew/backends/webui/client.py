"""HTTP to one server: what is safe is tried again, what is not is told apart.

GETs and connections are tried again with growing pauses; a POST that was sent never is, for a
server works on when its client has gone.
"""

from __future__ import annotations

import os
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from stablenew.backends.webui.answers import Answer, read_json, refusal
from stablenew.errors import BackendProtocolError, BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    import httpx2

LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes of an answer that are taken."""

_KEPT_ALIVE = 4.0
"""Seconds that an idle connection is used again: sd-server closes its own after 5, others later."""

_CONNECT_TIMEOUT = 5.0
_TRIES = 3
_PAUSE = 0.1
"""Seconds before the second try; doubled for each further one, give or take half."""

_PIECE = 256 * 1024
_ON_THE_LOOP = 64 * 1024
"""Bytes of JSON up to which reading it takes less than the way to another thread."""

_MISSING = (404, 405, 501)


class WebUIClient:
    """Talks to one server. Entered with `async with`.

    Args:
        url: The server's, without credentials.
        auth: `user:password`, sent with the first request already: AUTOMATIC1111's 401 does not say
            how it wants to be asked.
        answer_timeout: Seconds that a GET may take.
    """

    def __init__(self, url: str, auth: str | None = None, *, answer_timeout: float = 10.0) -> None:
        self.url = url
        self._auth = auth
        self._answer_timeout = answer_timeout

    async def __aenter__(self) -> Self:
        try:  # in a thread: the import alone takes a tenth of a second
            self._gets, self._posts = await anyio.to_thread.run_sync(self._open)
        except (ImportError, ValueError, OSError) as error:  # a proxy or a certificate of ours
            raise ConfigError(f"url: cannot talk to {self.url}: {error}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.move_on_after(1.0, shield=True):
            await self._gets.aclose()
            await self._posts.aclose()

    async def get(self, path: str, *, tries: int = _TRIES) -> object:
        """Return a GET's JSON; None for an empty body and where there is no such path.

        Raises:
            BackendUnavailableError: No answer, `tries` times.
            BackendError: An answer that is no, or that cannot be read.
        """
        answer = await self._ask("GET", path, None, tries)
        return None if answer.status in _MISSING else await self._read(answer, f"GET {path}")

    async def has(self, path: str) -> bool:
        """Return whether there is such a path, for whatever method."""
        return (await self._ask("GET", path, None, _TRIES)).status != 404

    async def send(self, path: str, content: bytes | None = None) -> object:
        """Return a short POST's JSON; None for an empty body and where there is no such path.

        Raises:
            BackendUnavailableError: No answer.
            BackendError: An answer that is no, or that cannot be read.
        """
        answer = await self._ask("POST", path, content, 1)
        return None if answer.status in _MISSING else await self._read(answer, f"POST {path}")

    async def generate(self, path: str, content: bytes, arriving: Callable[[], None]) -> Answer:
        """Send a POST that may take hours, and return its answer whatever the status.

        Args:
            path: Where to.
            content: JSON.
            arriving: Called when the answer begins, and for each piece of it.

        Raises:
            BackendUnavailableError: No answer; `never_sent` tells whether the server knows of it.
            BackendProtocolError: The answer is too large.
        """
        import httpx2

        for attempt in range(_TRIES):
            try:
                return await self._post(path, content, arriving)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                if attempt + 1 == _TRIES:
                    raise self._away(error) from error
            except httpx2.TransportError as error:
                raise self._away(error) from error
            except httpx2.RequestError as error:
                raise self._garbled(error) from error
            await _pause(attempt)
        raise AssertionError("unreachable")

    async def _post(self, path: str, content: bytes, arriving: Callable[[], None]) -> Answer:
        headers = {"content-type": "application/json", "content-length": str(len(content))}
        async with self._posts.stream(
            "POST", self.url + path, content=_pieces(content), headers=headers
        ) as response:
            arriving()
            body = bytearray()
            too_large = int(response.headers.get("content-length", 0)) > LARGEST_ANSWER
            if not too_large:
                async with aclosing(response.aiter_bytes()) as chunks:
                    async for chunk in chunks:
                        arriving()
                        body += chunk
                        if too_large := len(body) > LARGEST_ANSWER:
                            break
            if too_large:
                raise BackendProtocolError(
                    f"the answer is larger than {LARGEST_ANSWER:,} bytes; it is not taken"
                )
            kind = response.headers.get("content-type", "")
            return Answer(status=response.status_code, content_type=kind, body=body)

    async def _ask(self, method: str, path: str, content: bytes | None, tries: int) -> Answer:
        import httpx2

        headers = {"content-type": "application/json"} if content is not None else {}
        for attempt in range(tries):
            try:
                response = await self._gets.request(
                    method, self.url + path, content=content, headers=headers
                )
            except httpx2.TransportError as error:
                if attempt + 1 == tries:
                    raise self._away(error) from error
            except httpx2.RequestError as error:
                raise self._garbled(error) from error
            else:
                kind = response.headers.get("content-type", "")
                return Answer(status=response.status_code, content_type=kind, body=response.content)
            await _pause(attempt)
        raise AssertionError("unreachable")

    async def _read(self, answer: Answer, doing: str) -> object:
        if answer.status >= 400:
            raise refusal(answer, doing)
        if answer.size <= _ON_THE_LOOP:
            return read_json(answer)
        return await anyio.to_thread.run_sync(read_json, answer)

    def _open(self) -> tuple[httpx2.AsyncClient, httpx2.AsyncClient]:
        """Return a client for what is quick, and one whose every request has a fresh connection."""
        import httpx2

        user, _, password = (self._auth or "").partition(":")
        auth = (user.encode(), password.encode()) if self._auth is not None else None
        headers = {"accept-encoding": "identity", "user-agent": "stablenew"}
        verify = self.url.startswith("https:")  # without TLS there is nothing to load
        quick = httpx2.AsyncClient(
            auth=auth,
            headers=headers,
            verify=verify,
            timeout=httpx2.Timeout(self._answer_timeout, connect=_CONNECT_TIMEOUT),
            limits=httpx2.Limits(max_connections=4, keepalive_expiry=_KEPT_ALIVE),
        )
        slow = httpx2.AsyncClient(
            auth=auth,
            headers=headers,
            verify=verify,
            timeout=httpx2.Timeout(None, connect=_CONNECT_TIMEOUT),
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
        return quick, slow

    def _garbled(self, error: httpx2.RequestError) -> BackendProtocolError:
        return BackendProtocolError(f"the answer cannot be read: {error}", retryable=True)

    def _away(self, error: httpx2.TransportError) -> BackendUnavailableError:
        reason: BaseException | None = error
        while reason is not None and not (isinstance(reason, OSError) and reason.errno):
            reason = reason.__cause__ or reason.__context__
        said = _said(reason) or str(error) or _SILENT.get(type(error).__name__, "no answer")
        return BackendUnavailableError(f"no answer from {self.url}: {said}", retryable=True)


_SILENT = {"ReadTimeout": "it took the connection and said nothing", "ConnectTimeout": "timed out"}


def _said(reason: BaseException | None) -> str:
    """Return what an operating system's error means."""
    if isinstance(reason, ssl.SSLError):
        return f"no TLS ({reason.reason or reason}); http:// perhaps?"
    if isinstance(reason, socket.gaierror):
        return f"cannot find that host ({reason.strerror})"
    if isinstance(reason, OSError) and reason.errno is not None:
        return os.strerror(reason.errno)
    return ""


def never_sent(error: BackendUnavailableError) -> bool:
    """Return whether there was not even a connection, so that the server knows of nothing."""
    import httpx2

    return isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """Yield the content in pieces, so that sending a big one never keeps the loop."""
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


async def _pause(attempt: int) -> None:
    await anyio.sleep(_PAUSE * 2**attempt * random.uniform(0.5, 1.5))

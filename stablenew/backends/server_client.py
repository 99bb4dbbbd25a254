"""HTTP to one server: what is safe is tried again, what is not is told apart.

GETs and connections are tried again with growing pauses; a POST that was sent never is, for a
server works on when its client has gone.
"""

from __future__ import annotations

import os
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread
import attrs

from stablenew.backends.answers import AWAY, Answer, read_json, refusal
from stablenew.backends.http_request import HttpConnections, HttpRequest, nothing
from stablenew.backends.no_answer import why_away
from stablenew.backends.proxies import ServerProxy, proxy_before
from stablenew.backends.server_socket import ServerSocket, open_socket
from stablenew.errors import BackendProtocolError, BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    import httpx2

_KEPT_ALIVE = 4.0
"""Seconds that an idle connection is used again: sd-server closes its own after 5, others later."""

_FOLLOWS_WITHIN = 0.5
"""Seconds in which the next picture is asked for over the connection of the last."""

_FEW, _MANY = 4, 1_000
"""Connections at the same time: for what is quick, and for what may take hours."""

_TRIES = 3
_PAUSE = 0.1
"""Seconds before the second try; doubled for each further one, give or take half."""

_ON_THE_LOOP = 64 * 1024
"""Bytes of JSON up to which reading it takes less than the way to another thread."""

_LIMITED = 429
_LIMIT_PAUSE = 5.0
"""Seconds for a limit of requests to pass."""

_MISSING = (404, 405, 501)
_BY_PROXIES = (403, 407, *AWAY)
"""What a proxy may have answered in the server's place."""

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class ServerClient:
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
        self._proxy: ServerProxy | None = None

    async def __aenter__(self) -> Self:
        try:
            self._proxy = await proxy_before(self.url)
            # In a thread: the import alone takes a tenth of a second.
            self._quick, self._slow = await anyio.to_thread.run_sync(self._open)
        except ImportError as error:
            if self._proxy is None:
                raise
            raise ConfigError(
                f"url: the environment's proxy {self._proxy.address} needs the package socksio;"
                f" {self._proxy.way_around}"
            ) from error
        except ConfigError as error:
            raise ConfigError(f"url: cannot talk to {self.url}: {error}") from error
        except (ValueError, OSError) as error:  # the certificates of the environment
            name = next((name for name in _CERTIFICATES if os.environ.get(name)), "url")
            raise ConfigError(f"{name}: cannot talk to {self.url}: {error}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.move_on_after(1.0, shield=True):
            await self._quick.aclose()
            await self._slow.aclose()

    async def get(self, path: str, *, tries: int = _TRIES) -> object:
        """Return a GET's JSON; None for an empty body and where there is no such path.

        Raises:
            BackendUnavailableError: No answer, `tries` times.
            BackendError: An answer that is no, or that cannot be read.
        """
        return await self.get_as(object, path, tries=tries)

    async def get_as(self, kind: object, path: str, *, tries: int = _TRIES) -> object:
        """Return as `get` does, but only what of it is wanted: a type, as msgspec takes it."""
        answer = await self.ask("GET", path, tries=tries)
        return None if answer.status in _MISSING else await self._read(answer, f"GET {path}", kind)

    async def has(self, path: str) -> bool:
        """Return whether there is such a path, for whatever method."""
        return (await self.ask("GET", path)).status != 404

    async def send(self, path: str, content: bytes | None = None) -> object:
        """Return a short POST's JSON; None for an empty body and where there is no such path.

        Raises:
            BackendUnavailableError: No answer.
            BackendError: An answer that is no, or that cannot be read.
        """
        answer = await self.ask("POST", path, content, tries=1)
        return None if answer.status in _MISSING else await self._read(answer, f"POST {path}")

    async def generate(
        self,
        path: str,
        content: bytes,
        arriving: Callable[[], None],
        leaving: Callable[[], None] = nothing,
    ) -> Answer:
        """Send a POST that may take hours, and return its answer whatever the status.

        Args:
            path: Where to.
            content: JSON.
            arriving: Called when the answer begins, and for each piece of it.
            leaving: Called when all of it is sent.

        Raises:
            BackendUnavailableError: No answer; `never_sent` tells whether the server knows of it.
            BackendProtocolError: The answer is too large.
        """
        import httpx2

        request = HttpRequest(
            method="POST", path=path, content=content, leaving=leaving, arriving=arriving
        )
        for attempt in range(_TRIES):
            try:
                return self._known(await self._slow.ask(request))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                if attempt + 1 == _TRIES:
                    raise self._away(error) from error
            except httpx2.TransportError as error:
                raise self._away(error) from error
            except httpx2.RequestError as error:
                raise self._garbled(error) from error
            await _pause(attempt)
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def websocket(self, path: str) -> AsyncIterator[ServerSocket]:
        """Open a websocket for as long as this is entered.

        Raises:
            ConnectionError: It could not be opened, or ended, for whatever reason.
        """
        client = await anyio.to_thread.run_sync(self._library, _FEW, _KEPT_ALIVE)
        async with client, open_socket(client, self.url + path) as opened:
            yield opened

    async def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        tries: int = _TRIES,
        content_type: str = "application/json",
        timeout: float | None = None,
        leaving: Callable[[], None] = nothing,
    ) -> Answer:
        """Return the answer to a short request, whatever its status.

        Args:
            method: `GET` or `POST`.
            path: Where to.
            content: What is sent.
            tries: How often a GET is sent at the most; a POST again only if it never got there.
            content_type: Of the content.
            timeout: Seconds without a sign of the answer, in place of `answer_timeout`.
            leaving: Called when all of it is sent.

        Raises:
            BackendUnavailableError: No answer; `never_sent` tells whether the server knows of it.
            BackendProtocolError: An answer that is no HTTP.
        """
        import httpx2

        request = HttpRequest(
            method=method,
            path=path,
            content=content,
            content_type=content_type,
            timeout=timeout or self._answer_timeout,
            leaving=leaving,
        )
        for attempt in range(tries):
            try:
                answer = await self._quick.ask(request)
            except httpx2.TransportError as error:
                sent = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                if attempt + 1 == tries or (sent and method != "GET"):
                    raise self._away(error) from error
            except httpx2.RequestError as error:
                raise self._garbled(error) from error
            else:
                if answer.status != _LIMITED or attempt + 1 == tries:
                    return self._known(answer)
                await anyio.sleep(_LIMIT_PAUSE)
            await _pause(attempt)
        raise AssertionError("unreachable")

    def _known(self, answer: Answer) -> Answer:
        """Return an answer with how it was asked, where a proxy may have given it."""
        asked = self.asked if answer.status in _BY_PROXIES else ""
        return attrs.evolve(answer, asked=asked) if asked else answer

    @property
    def asked(self) -> str:
        """How the server was asked, where that may be what is wrong; else ""."""
        if self._proxy is None:
            return ""
        return (
            f"asked through the environment's proxy {self._proxy.address}; {self._proxy.way_around}"
        )

    async def _read(self, answer: Answer, doing: str, kind: object = object) -> object:
        if answer.status >= 400:
            raise refusal(answer, doing)
        if answer.size <= _ON_THE_LOOP:
            return read_json(answer, kind)
        return await anyio.to_thread.run_sync(read_json, answer, kind)

    def _open(self) -> tuple[HttpConnections, HttpConnections]:
        """Return connections for what is quick, and some for what takes long.

        The second are used again only right after their last answer, when the next picture follows:
        of one that has long been idle nobody can tell whether a request got through.
        """
        return self._connections(_FEW, _KEPT_ALIVE), self._connections(_MANY, _FOLLOWS_WITHIN)

    def _connections(self, most: int, kept_alive: float) -> HttpConnections:
        from stablenew.backends.library_http import LibraryHttp
        from stablenew.backends.plain_http import PlainHttp

        if self._proxy is None and self.url.startswith("http:"):
            return PlainHttp(self.url, self._headers, most=most, kept_alive=kept_alive)
        return LibraryHttp(self.url, self._library(most, kept_alive))

    def _library(self, most: int, kept_alive: float) -> httpx2.AsyncClient:
        from stablenew.backends.library_http import library_client

        proxy = None if self._proxy is None else self._proxy.url
        return library_client(self.url, self._headers, proxy, most=most, kept_alive=kept_alive)

    @property
    def _headers(self) -> dict[str, str]:
        headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "stablenew"}
        if self._auth is not None:
            headers["authorization"] = f"Basic {b64encode(self._auth.encode()).decode()}"
        return headers

    def _garbled(self, error: httpx2.RequestError) -> BackendProtocolError:
        return BackendProtocolError(f"the answer cannot be read: {error}", retryable=True)

    def _away(self, error: httpx2.TransportError) -> BackendUnavailableError:
        said = why_away(error)
        if self._proxy is not None:
            said += f" ({self.asked})"
        return BackendUnavailableError(f"no answer from {self.url}: {said}", retryable=True)


def never_sent(error: BackendUnavailableError) -> bool:
    """Return whether there was not even a connection, so that the server knows of nothing."""
    import httpx2

    refused = httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError
    return isinstance(error.__cause__, refused)


async def _pause(attempt: int) -> None:
    await anyio.sleep(_PAUSE * 2**attempt * random.uniform(0.5, 1.5))

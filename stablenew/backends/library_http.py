"""HTTP by httpx2: with TLS, through proxies, and for websockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import httpx2

from stablenew.backends.answers import Answer
from stablenew.backends.http_request import (
    CONNECT_TIMEOUT,
    LARGEST_ANSWER,
    PIECE,
    HttpRequest,
)
from stablenew.errors import BackendProtocolError, ConfigError


class LibraryHttp:
    """Connections of a client of httpx2 to one server.

    Args:
        url: The server's, without credentials.
        client: That client.
    """

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self.client = client
        self._url = url

    async def ask(self, request: HttpRequest) -> Answer:
        """Return the answer to a request; see `HttpConnections`."""
        content, headers = request.content, {}
        if content is not None:
            headers = {"content-type": request.content_type, "content-length": str(len(content))}
        async with self.client.stream(
            request.method,
            self._url + request.path,
            content=None if content is None else _pieces(content),
            headers=headers,
            timeout=httpx2.Timeout(request.timeout, connect=CONNECT_TIMEOUT),
            extensions={"trace": _once_sent(request.leaving)},
        ) as response:
            request.arriving()
            return Answer(
                status=response.status_code,
                content_type=response.headers.get("content-type", ""),
                body=await _body(response, request.arriving),
            )

    async def aclose(self) -> None:
        """Close all of them."""
        await self.client.aclose()


def library_client(
    url: str, headers: dict[str, str], proxy: str | None, *, most: int, kept_alive: float
) -> httpx2.AsyncClient:
    """Return a client for one server; blocks while certificates are loaded.

    Args:
        url: The server's.
        headers: Sent with each request.
        proxy: The one to go through; None for none.
        most: Connections at the same time.
        kept_alive: Seconds that an idle one is used again.

    Raises:
        ConfigError: The proxy is none.
        ImportError: It needs a package that is not there.
        OSError: The certificates of the environment cannot be read.
    """
    # Without TLS there is nothing to load.
    verify = httpx2.create_ssl_context() if url.startswith("https:") else False
    try:
        before = None if proxy is None else httpx2.Proxy(proxy)
    except httpx2.InvalidURL as error:
        raise ConfigError(f"the environment's proxy is no URL: {error}") from error
    return httpx2.AsyncClient(
        headers=headers,
        verify=verify,
        proxy=before,
        trust_env=False,
        limits=httpx2.Limits(max_connections=most, keepalive_expiry=kept_alive),
    )


async def _body(response: httpx2.Response, arriving: Callable[[], None]) -> bytearray:
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
    return body


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


def _once_sent(leaving: Callable[[], None]) -> Callable[[str, object], Awaitable[None]]:
    """Return what httpcore is to tell of its doings, to have something called at one of them."""

    async def trace(name: str, _: object) -> None:
        if name.endswith("send_request_body.complete"):
            leaving()

    return trace

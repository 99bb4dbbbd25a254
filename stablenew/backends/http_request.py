"""What is asked of a server over HTTP, and who asks it: over plain sockets, or with httpx2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from stablenew.backends.answers import Answer

LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes of an answer that are taken."""

CONNECT_TIMEOUT = 5.0
"""Seconds to reach a server."""

PIECE = 256 * 1024
"""Bytes that are sent or read in one go, so that a big one never keeps the loop."""


def nothing() -> None:
    """Take note of nothing."""


@attrs.frozen(kw_only=True)
class HttpRequest:
    """One request.

    Attributes:
        method: `GET` or `POST`.
        path: Where to, below the server's URL.
        content: What is sent; None for nothing.
        content_type: Of the content.
        timeout: Seconds without a sign of the answer; None for as long as it takes.
        leaving: Called when all of it is sent.
        arriving: Called when the answer begins, and for each piece of it.
    """

    method: str
    path: str
    content: bytes | None = attrs.field(default=None, repr=False)
    content_type: str = "application/json"
    timeout: float | None = None
    leaving: Callable[[], None] = nothing
    arriving: Callable[[], None] = nothing


class HttpConnections(Protocol):
    """Connections to one server, which are used again for as long as they may be."""

    async def ask(self, request: HttpRequest) -> Answer:
        """Return the answer to a request, whatever its status.

        Raises:
            httpx2.TransportError: There is none: a ConnectError or ConnectTimeout where the request
                was never sent.
            httpx2.RequestError: It cannot be read.
            BackendProtocolError: It is too large.
        """
        ...

    async def aclose(self) -> None:
        """Close all of them."""
        ...

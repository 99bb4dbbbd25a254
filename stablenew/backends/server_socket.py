"""A websocket to a server: text and bytes, and one kind of error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stablenew.errors import ungrouped

if TYPE_CHECKING:
    import httpx2
    from httpx2.websockets import AsyncWebSocketSession

_LARGEST_MESSAGE = 32 * 1024 * 1024
"""Bytes; a larger one ends the socket."""

_PING_EVERY = 20.0
_PONG_WITHIN = 60.0
"""Seconds, for a server that is kept busy is not gone."""


class ServerSocket:
    """An open websocket.

    Args:
        session: Has it.
    """

    def __init__(self, session: AsyncWebSocketSession) -> None:
        self._session = session

    async def send(self, text: str) -> None:
        """Send a text; raises whatever ends the socket."""
        await self._session.send_text(text)

    async def receive(self) -> str | bytes:
        """Return the next message; raises whatever ends the socket. A cancel loses none."""
        import wsproto.events

        while True:
            event = await self._session.receive()
            if isinstance(event, wsproto.events.Message):
                return event.data if isinstance(event.data, str) else bytes(event.data)


@asynccontextmanager
async def open_socket(client: httpx2.AsyncClient, url: str) -> AsyncIterator[ServerSocket]:
    """Open a websocket for as long as this is entered.

    Args:
        client: Whose credentials, certificates and proxy are used.
        url: `http://…` or `https://…`.

    Raises:
        ConnectionError: It could not be opened, or ended, for whatever reason.
    """
    try:
        with ungrouped():
            async with client.websocket(
                url,
                max_message_size_bytes=_LARGEST_MESSAGE,
                keepalive_ping_interval_seconds=_PING_EVERY,
                keepalive_ping_timeout_seconds=_PONG_WITHIN,
            ) as session:
                yield ServerSocket(session)
    except Exception as error:  # of any of five libraries, in a group or not
        raise ConnectionError(f"the socket of {url} ended: {error!r}") from error

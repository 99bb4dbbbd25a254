"""Server-sent events: what one tab is told, at its own pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio
import attrs
from starlette.types import Receive, Scope, Send

from stablenew._convert import json_line
from stablenew.studio.feed import STATES, Feed, Mark

_KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment keeps the connection."""

_AT_ONCE = 256
"""Tellings that go out in one piece."""

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


@attrs.frozen(kw_only=True, eq=False)
class LiveEvents:
    """An answer that goes on until the tab is gone, or the studio ends.

    Attributes:
        feed: What is told.
        state: Returns what `hello` says.
        after: The last event that the tab had.
    """

    feed: Feed
    state: Callable[[], Mapping[str, object]]
    after: Mark | None = None

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Answer the request with it."""
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_gone, receive, tasks.cancel_scope)
            with self.feed.open_tab():
                await self._tell(send)
            tasks.cancel_scope.cancel()

    async def _tell(self, send: Send) -> None:
        number = begun = self.feed.told
        hello = json_line({"type": "hello", "state": self.state()})
        await send_pieces(send, [b"retry: 1000\n\n", b"data: " + hello + b"\n\n"])
        if self.after is not None:
            missed, number = await self.feed.caught_up(self.after)
            for first in range(0, len(missed), _AT_ONCE):
                await send_pieces(send, missed[first : first + _AT_ONCE])
        while True:
            later = self.feed.after(number)
            if later is None:  # too slow: whoever comes back catches up
                break
            for first in range(0, len(later), _AT_ONCE):
                some = later[first : first + _AT_ONCE]
                # An older queue than that of `hello` would be taken for the newest.
                told = [
                    each.message(self.feed.life)
                    for n, each in enumerate(some, start=number + first)
                    if n >= begun or each.kind not in STATES
                ]
                if told:
                    await send_pieces(send, told)
            number += len(later)
            if self.feed.closed and self.feed.told <= number:
                break
            with anyio.move_on_after(_KEEP_ALIVE) as silence:
                await self.feed.news(number)
            if silence.cancelled_caught:
                await send_pieces(send, [b": \n\n"])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_pieces(send: Send, pieces: Sequence[bytes]) -> None:
    """Send what there is in one piece."""
    await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": True})


async def until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel a scope when the tab is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()

"""The events of one plan, from its file: also of one that another StableNew runs."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.to_thread
import attrs
import msgspec
from starlette.types import Receive, Scope, Send

from stablenew.controller.marker import is_held
from stablenew.events.event_log import EVENTS_FILE
from stablenew.storage.record_reader import NOT_JSON, read_piece
from stablenew.studio.event_stream import HEADERS, send_pieces, until_gone
from stablenew.studio.feed import Telling

_LOOK_EVERY = 0.3
"""Seconds: what is written waits up to half of one in the writer."""

_SILENCE = 50
"""Looks without news after which a comment keeps the connection."""


class _Head(msgspec.Struct):
    sequence: int = 0


@attrs.frozen(kw_only=True, eq=False)
class FollowedEvents:
    """An answer that goes on for as long as the plan is under way, wherever that is.

    Attributes:
        folder: The plan's.
        after: The number of the last event that the tab had.
    """

    folder: Path
    after: int = 0

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Answer the request with it."""
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_gone, receive, tasks.cancel_scope)
            await self._tell(send)
            tasks.cancel_scope.cancel()

    async def _tell(self, send: Send) -> None:
        offset = silent = 0
        while True:
            messages, length, held = await anyio.to_thread.run_sync(self._look, offset)
            offset += length
            if messages:
                await send_pieces(send, messages)
            if not length and not held:
                break
            if not length:
                silent += 1
                if silent % _SILENCE == 0:
                    await send_pieces(send, [b": \n\n"])
                await anyio.sleep(_LOOK_EVERY)
        end = Telling(b'{"type":"end"}').message()
        await send({"type": "http.response.body", "body": end, "more_body": False})

    def _look(self, offset: int) -> tuple[list[bytes], int, bool]:
        """Return what is new, how many bytes that was, and whether the plan was under way."""
        held = is_held(self.folder.parent, self.folder.name)  # before the look at the file
        piece = read_piece(self.folder / EVENTS_FILE, offset)
        messages = []
        for line in piece.splitlines():
            try:
                number = msgspec.json.decode(line, type=_Head).sequence
            except NOT_JSON:
                continue
            if number > self.after:
                messages.append(Telling(line, self.folder.name, number).message())
        return messages, len(piece), held

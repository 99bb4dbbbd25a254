"""Events as JSON lines on stdout."""

from __future__ import annotations

import sys

import anyio.to_thread

from stablenew.events.event import Event
from stablenew.events.event_log import encode_event


class JsonLines:
    """Prints every event as a line of JSON; a subscriber that waits, so that there is no gap.

    Attributes:
        broken: Set once nobody reads any more.
        problem: Why no more lines could be written, None while all is well.
    """

    def __init__(self) -> None:
        self.broken = anyio.Event()
        self.problem: OSError | None = None

    async def take(self, event: Event) -> None:
        """Print an event, in a thread: whoever reads may be slow."""
        if not self.broken.is_set():
            await anyio.to_thread.run_sync(self._write, encode_event(event))

    def _write(self, line: bytes) -> None:
        try:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        except OSError as error:
            self.problem = error
            anyio.from_thread.run_sync(self.broken.set)

"""Events as lines of JSON, and a file of them.

A line has `schema`, `type`, `sequence`, `at`, `plan_id`, `run_id` and `node` (null where there is
none), then what the event itself has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import monotonic
from typing import TypeVar

import attrs
import msgspec

from stablenew._arguments import takes
from stablenew._convert import json_line
from stablenew.events.event import Event
from stablenew.storage import files
from stablenew.storage.record_reader import NOT_JSON, read_lines

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)

SCHEMA = "stablenew.event/1"
EVENTS_FILE = "events.jsonl"

_HEAD = ("sequence", "at", "plan_id", "run_id", "node")
_MOST_PENDING = 256
_MOST_KEPT = 10_000
"""Events that wait for a disk with room for them."""
_MOST_SECONDS = 0.5
"""How long what was told waits to be written, for whoever follows the file."""


@takes(event=Event)
def encode_event(event: Event) -> bytes:
    """Return an event as one line of JSON, without the newline."""
    line: dict[str, object] = {"schema": SCHEMA, "type": type(event).__name__}
    for name in _names(type(event)):  # type: ignore[arg-type]  # a class is hashable
        line[name] = getattr(event, name)
    return json_line(line)


@cache
def _names(kind: type[Event]) -> tuple[str, ...]:
    """Return the names of an event's fields, the head's first."""
    fields = [field for field in attrs.fields(kind) if not field.metadata.get("off_the_record")]
    return (*_HEAD, *(field.name for field in fields if field.name not in _HEAD))


def read_events(path: Path, kind: type[T]) -> Iterator[T]:
    """Yield what a file of events tells of what a struct asks for; blocks, for a worker thread.

    A torn line tells nothing.

    Raises:
        RecordError: It cannot be read; who goes on would use its numbers again.
    """
    decoder = msgspec.json.Decoder(kind)
    for _, line in read_lines(path):
        with suppress(*NOT_JSON):
            yield decoder.decode(line)


class EventLog:
    """Appends the events of one plan or run to a file, in batches.

    A disk that says no fails nobody: what it did not take is written with the next batch, when
    there may be room again. Beyond `_MOST_KEPT` the oldest are lost to the file, and counted.

    Args:
        path: The file; its folder exists.
        forced_by: After an event of these classes everything so far is forced to disk.
        plan_id: Only events of this plan, if given.

    Attributes:
        lost: How many events will never be in the file.
    """

    def __init__(
        self, path: Path, *, forced_by: tuple[type[Event], ...], plan_id: str | None = None
    ) -> None:
        self.lost = 0
        self._path = path
        self._forced_by = forced_by
        self._plan_id = plan_id
        self._pending: list[bytes] = []
        self._written_at = monotonic()

    async def write(self, event: Event) -> None:
        """Take one event; it is on disk after the next that forces."""
        if self._plan_id is not None and event.plan_id != self._plan_id:
            return
        self._pending.append(encode_event(event))
        forced = isinstance(event, self._forced_by)
        late = monotonic() - self._written_at > _MOST_SECONDS
        if forced or late or len(self._pending) >= _MOST_PENDING:
            try:
                await files.append(self._path, b"\n".join([*self._pending, b""]), durable=forced)
            except OSError as error:
                logger.error("%s: %d events wait: %s", self._path, len(self._pending), error)
                # One that hangs may write them yet: a second time would be a second line of each.
                kept = 0 if isinstance(error, TimeoutError) else _MOST_KEPT
                gone = max(0, len(self._pending) - kept)
                self.lost += gone
                del self._pending[:gone]
            else:
                self._pending = []
            self._written_at = monotonic()

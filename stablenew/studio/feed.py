"""What every tab is told, in one order: the events of plans, and what the studio says itself.

What it promises, with a test for each line:

1. Nobody waits for a tab: what is told is kept for a while (`kept` tellings), and each tab takes it
   at its own pace. One that falls further behind is cut off, and catches up when it comes back.
2. Whoever names the last event that it had, as `PLAN_ID/SEQUENCE`, gets every later one, once: from
   what is kept, or from the plan's `events.jsonl` up to there, also after a restart of the studio.
3. Where that cannot be done it is told `lost`; also where a studio that was killed had told
   more than was in the file, for then the numbers are used again for something else.
4. A preview is kept for as long as it is the latest of its run, and asked for while a tab is open.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import attrs
import msgspec

from stablenew._clock import checked_id
from stablenew._convert import json_line
from stablenew.app import App
from stablenew.errors import ConfigError, RecordError
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.event_log import EVENTS_FILE, encode_event
from stablenew.events.mailbox import Overflow
from stablenew.events.subscription import Subscription
from stablenew.pipeline.stage_events import PreviewMade, RunFinished
from stablenew.storage.record_reader import NOT_JSON, read_lines

_KEPT = 20_000
"""Tellings that wait for slow tabs: some minutes of a quick plan, a few MB."""

STATES = ("queue", "servers")
"""What `hello` says as well: an earlier one of these is of no use to whoever comes later."""


@attrs.frozen
class Mark:
    """The last event that somebody had.

    Attributes:
        key: The plan's id, or the single run's.
        sequence: The event's number.
        life: Of the studio that told it; "" where that is not said.
    """

    key: str
    sequence: int
    life: str = ""

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """Return what `PLAN_ID/SEQUENCE` says; None where it says nothing.

        Raises:
            ConfigError: It is something else.
        """
        if not text:
            return None
        key, _, number = text.rpartition("/")
        number, _, life = number.partition(".")
        if not number.isdecimal() or len(number) > 18:  # below 2⁶³
            raise ConfigError(f"after: given {text[:100]!r}, expected PLAN_ID/SEQUENCE")
        return cls(checked_id("after", key), int(number), life)


@attrs.frozen
class Telling:
    """One thing that was told.

    Attributes:
        line: As JSON.
        key: Of an event: its plan's id, or its run's; "" for what the studio says itself.
        sequence: Of an event: its number.
        kind: What the studio says itself is called.
    """

    line: bytes
    key: str = ""
    sequence: int = 0
    kind: str = ""

    def message(self, life: str = "") -> bytes:
        """Return it as a server-sent event of a studio's life."""
        suffix = f".{life}" if life else ""
        head = f"id: {self.key}/{self.sequence}{suffix}\n".encode() if self.key else b""
        return head + b"data: " + self.line + b"\n\n"


class _Head(msgspec.Struct):
    sequence: int = 0


class Feed:
    """Keeps what was told, for tabs to take; see the module.

    Args:
        out: The folder of all runs.
        kept: How many tellings are kept.

    Attributes:
        told: How many there were.
        life: What tells this studio from the one before it on the same folder.
        tabs: How many tabs are open.
        previews: The latest preview of each run that is under way.
    """

    def __init__(self, out: Path, kept: int = _KEPT) -> None:
        self.told = 0
        self.life = secrets.token_hex(4)
        self.tabs = 0
        self.previews: dict[str, bytes] = {}
        self.closed = False
        self._out = out
        self._kept: deque[Telling] = deque(maxlen=kept)
        self._news = anyio.Event()
        self._buses: dict[EventBus, Subscription | None] = {}

    @property
    def first(self) -> int:
        """The number of the oldest telling that is kept."""
        return self.told - len(self._kept)

    def tell(self, kind: str, **content: object) -> None:
        """Tell every tab something that is no event."""
        self._add(Telling(json_line({"type": kind, **content}), kind=kind))

    def close(self) -> None:
        """Have every tab take what is left, and end."""
        self.tell("closing")
        self.closed = True

    @contextmanager
    def hearing(self, app: App) -> Iterator[None]:
        """Tell what an app's bus tells, inside."""
        heard = app.bus.subscribe(Event, self._take, overflow=Overflow.WAIT, name="studio")
        self._buses[app.bus] = None
        self._ask_for_previews()
        try:
            yield
        finally:
            heard.close()
            if (previews := self._buses.pop(app.bus)) is not None:
                previews.close()

    @contextmanager
    def open_tab(self) -> Iterator[None]:
        """Count a tab; while there is one, previews are asked for."""
        self.tabs += 1
        self._ask_for_previews()
        try:
            yield
        finally:
            self.tabs -= 1
            self._ask_for_previews()

    def after(self, number: int) -> tuple[Telling, ...] | None:
        """Return what was told from a number on; None where that is not kept any more."""
        if number < self.first:
            return None
        skipped = number - self.first
        return tuple(self._kept[n] for n in range(skipped, len(self._kept)))

    async def news(self, number: int) -> None:
        """Wait until something was told from a number on."""
        while self.told <= number and not self.closed:
            await self._news.wait()

    async def caught_up(self, mark: Mark) -> tuple[list[bytes], int]:
        """Return what a tab missed that had an event, as messages, and where it goes on."""
        ours = mark.life in ("", self.life)
        place = next((n for n, each in enumerate(self._kept) if _is(each, mark)), None)
        if place is not None and ours:
            return [], self.first + place + 1
        number, later = self.first, tuple(self._kept)
        there = next((n for n, each in enumerate(later) if each.key == mark.key), None)
        before = later[there].sequence if there is not None else None
        found = await anyio.to_thread.run_sync(_read, self._out / mark.key, mark, before)
        missed, last = found or ([], 0)
        again = not ours and mark.sequence > (last if before is None else before - 1)
        if found is None or again or (there is None and number):
            return [Telling(b'{"type":"lost"}').message()], self.told
        if there is not None and before is not None and before <= mark.sequence:
            # Numbers that began anew, or an event that was never: whatever is later is not told.
            return missed, number + len(later)
        return missed, number + (there or 0)

    def _add(self, telling: Telling) -> None:
        self._kept.append(telling)
        self.told += 1
        self._news.set()
        self._news = anyio.Event()

    async def _take(self, event: Event) -> None:
        if isinstance(event, RunFinished) and event.run_id is not None:
            self.previews.pop(event.run_id, None)
        key = event.plan_id or event.run_id or ""
        self._add(Telling(encode_event(event), key, event.sequence))

    async def _take_preview(self, event: PreviewMade) -> None:
        if event.run_id is not None:
            self.previews[event.run_id] = event.data

    def _ask_for_previews(self) -> None:
        for bus, asked in self._buses.items():
            if self.tabs and asked is None:
                self._buses[bus] = bus.subscribe(PreviewMade, self._take_preview, name="previews")
            elif not self.tabs and asked is not None:
                asked.close()
                self._buses[bus] = None


def _is(telling: Telling, mark: Mark) -> bool:
    return telling.key == mark.key and telling.sequence == mark.sequence


def _read(folder: Path, mark: Mark, before: int | None) -> tuple[list[bytes], int] | None:
    """Return a plan's events after a mark, from its file, and its last number; None without one."""
    path = folder / EVENTS_FILE
    if not path.exists():
        return None
    messages, last = [], 0
    try:
        for line, number in numbered_lines(path):
            if mark.sequence < number and (before is None or number < before):
                messages.append(Telling(line, mark.key, number).message())
            last = max(last, number)
    except RecordError:
        return None
    return messages, last


def numbered_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the whole lines of a file of events, each with its number; blocks.

    Raises:
        RecordError: It cannot be read.
    """
    decode = msgspec.json.Decoder(_Head).decode
    for _, line in read_lines(path):
        try:
            yield line, decode(line).sequence
        except NOT_JSON:
            continue


Say = Callable[..., None]
"""Tells every tab something: `Feed.tell`."""

State = Callable[[], Mapping[str, object]]
"""Returns what `hello` says."""

"""What waits for one reader: bounded, in the order of publishing, the ends kept longest."""

from __future__ import annotations

from collections import deque
from enum import Enum

import anyio

from stablenew.events.event import Event


class Overflow(Enum):
    """What happens when a mailbox is full."""

    WAIT = "wait"
    """The publisher waits for room: nothing is lost (records)."""
    DROP_OLDEST = "drop_oldest"
    """The newest is kept: first a transient event goes, an end goes last (GUI, progress)."""


class Mailbox:
    """The events that one reader has not taken yet.

    A full mailbox that waits takes the event all the same and asks the publisher to wait, so a
    publisher that is cancelled meanwhile has lost nothing; it exceeds its capacity by at most one
    event for each publisher.

    Args:
        capacity: How many events it holds.
        overflow: What happens to one more.

    Attributes:
        taken: How many events the reader took.
    """

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        self.capacity = capacity
        self.dropped = 0
        self.taken = 0
        self.closed = False
        self._drops = overflow is Overflow.DROP_OLDEST
        self._size = 0
        self._stuck_at = -1
        # Transient, ordinary, terminal: each in order, so the lowest number is one of three heads.
        self._shelves: tuple[deque[Event], ...] = (deque(), deque(), deque())
        self._arrival = anyio.Event()
        self._room = anyio.Event()

    def __len__(self) -> int:
        return self._size

    @property
    def stuck(self) -> bool:
        """Whether the reader has taken nothing since it was waited for in vain."""
        return self._stuck_at == self.taken

    def waited_in_vain(self, taken: int) -> bool:
        """Note that a wait for the reader was given up; return whether it is stuck since.

        Args:
            taken: How many events it had taken when the wait began.
        """
        self._stuck_at = taken
        return self.stuck

    def put(self, event: Event) -> bool:
        """Take an event; False asks the publisher to `wait_for_room`."""
        if self.closed:
            return True
        rank = 2 if event.terminal else 0 if event.transient else 1
        if self._drops and self._size >= self.capacity:
            self.dropped += 1
            lowest = next(each for each, shelf in enumerate(self._shelves) if shelf)
            if rank < lowest:
                return True
            self._shelves[lowest].popleft()
            self._size -= 1
        self._shelves[rank].append(event)
        self._size += 1
        if self._size == 1:
            self._arrival.set()
        return self._size <= self.capacity

    def take(self) -> Event | None:
        """Return the oldest event, None when there is none."""
        first: deque[Event] | None = None
        for shelf in self._shelves:
            if shelf and (first is None or shelf[0].sequence < first[0].sequence):
                first = shelf
        if first is None:
            return None
        self._size -= 1
        self.taken += 1
        if self._size == self.capacity:
            self._room.set()
            self._room = anyio.Event()
        return first.popleft()

    async def next(self) -> Event | None:
        """Wait for the oldest event; None when the mailbox is closed and empty."""
        while True:
            event = self.take()
            if event is not None or self.closed:
                return event
            if self._arrival.is_set():
                self._arrival = anyio.Event()
            await self._arrival.wait()

    async def wait_for_room(self) -> None:
        """Wait until no more than `capacity` events are left."""
        while self._size > self.capacity and not self.closed:
            await self._room.wait()

    def oldest(self) -> int | None:
        """Return the number of the oldest event, None when there is none."""
        heads = [shelf[0].sequence for shelf in self._shelves if shelf]
        return min(heads, default=None)

    def close(self) -> None:
        """Take nothing more; what is here can still be read."""
        self.closed = True
        self._arrival.set()
        self._room.set()

    def clear(self) -> int:
        """Throw away what is here and return how many that was."""
        size, self._size = self._size, 0
        for shelf in self._shelves:
            shelf.clear()
        return size

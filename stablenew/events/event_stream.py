"""Events to iterate over, for a reader with a task of its own."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from stablenew.events.event import Event
from stablenew.events.mailbox import Mailbox

E = TypeVar("E", bound=Event)


class Owner(Protocol):
    """What a stream needs of its bus."""

    def _forget(self, box: Mailbox) -> None: ...


class EventStream(Generic[E]):
    """Events to iterate over, for a reader with a task of its own.

    Use as `with bus.stream(StageEvent) as events: async for event in events: …`. The iteration
    ends when the bus has closed and everything accepted was read.
    """

    def __init__(self, bus: Owner, mailbox: Mailbox) -> None:
        self._bus = bus
        self._mailbox = mailbox

    @property
    def dropped(self) -> int:
        """How many events were dropped because nobody read them in time."""
        return self._mailbox.dropped

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bus._forget(self._mailbox)
        self._mailbox.close()
        self._mailbox.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        event = await self._mailbox.next()
        if event is None:
            raise StopAsyncIteration
        return event  # type: ignore[return-value]  # the mailbox holds what `stream` was asked for

"""The event bus.

What it promises, with a test for each line:

1. One task and one bounded mailbox per subscriber. A subscriber handles one event at a time, in
   the order its publisher sent them.
2. Matching by `isinstance`; a tuple of classes is allowed; `Event` means all. Events are frozen,
   keyword-only attrs classes, named in the past participle (`StageFinished`).
3. A handler's `Exception` is logged with subscriber and event, counted in `subscription.failed`,
   and the next event goes on. `EventBus(strict=True)` raises it at exit.
4. Two policies when a mailbox is full: `Overflow.WAIT` (`publish` waits) and
   `Overflow.DROP_OLDEST` (the newest is kept, `dropped` counted; transient events go first and
   terminal ones last). `publish` first offers to all, then waits for the full ones. What was
   dropped is logged when the subscriber ends.
5. Publishing from a handler is refused (`ReentrantPublishError`). A task that a handler starts
   elsewhere may publish.
6. `async with EventBus() as bus`; outside it, publishing or subscribing raises `BusClosedError`.
   Enter and leave in one task.
7. Leaving the block by any route closes the inlets at once and lets every subscriber finish what
   was accepted, under its own shield whose deadline (`grace`, 5 s) starts then. The body stays
   cancellable. What was cut is counted and logged as an error.
8. Terminal events are published shielded, with a deadline. It is paid once: who did not move for
   `grace` seconds is stuck, and is not waited for again before it takes another event.
   `await subscription.drained()` and `await bus.drain()` mean: everything published so far has
   been handled.
9. `with bus.stream(StageEvent) as events: async for e in events`: a stream object, never an async
   generator.
10. The bus numbers events when they are published (`sequence`), without a gap, so that whoever
    missed one can tell.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import CORO_CREATED, getcoroutinestate
from typing import Self, TypeVar, overload

import anyio
import attrs
from anyio import AsyncContextManagerMixin
from anyio.lowlevel import checkpoint

from stablenew._arguments import shown
from stablenew.errors import BusClosedError, BusError, ungrouped
from stablenew.events.event import Event
from stablenew.events.event_stream import EventStream
from stablenew.events.mailbox import Mailbox, Overflow
from stablenew.events.subscription import Subscription, refuse_handlers

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)
A = TypeVar("A", bound=Event)
B = TypeVar("B", bound=Event)
C = TypeVar("C", bound=Event)

Kind = type[Event] | tuple[type[Event], ...]

GRACE = 5.0
"""Seconds that a shielded wait may take at the most."""

_PUBLISHES_PER_YIELD = 64


def _kinds(kind: Kind) -> tuple[type[Event], ...]:
    """Return the classes that are asked for.

    Raises:
        BusError: Something is no class of events, which would fail whoever publishes.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not kinds or not all(isinstance(each, type) and issubclass(each, Event) for each in kinds):
        raise BusError(f"kind: given {shown(kind)}, expected a class of events, or several")
    return kinds


@attrs.frozen
class _Inlet:
    """Where events of some kind go."""

    kinds: tuple[type[Event], ...]
    box: Mailbox
    label: str

    def tell_dropped(self) -> None:
        if self.box.dropped:
            logger.warning("%s was too slow: %d events dropped", self.label, self.box.dropped)


class EventBus(AsyncContextManagerMixin):
    """Carries events from publishers to subscribers in this process; see the module.

    Args:
        strict: Raise what handlers raised when the block is left without another error.
        grace: Seconds that subscribers have for what was accepted once the block is left, and
            that a terminal event waits for room.
        sequence: The number of the last event published before, for a plan that goes on.
    """

    def __init__(self, *, strict: bool = False, grace: float = GRACE, sequence: int = 0) -> None:
        self.sequence = sequence
        self._strict = strict
        self._grace = grace
        self._open = False
        self._subscriptions: list[Subscription] = []
        self._inlets: list[_Inlet] = []
        self._routes: dict[type[Event], tuple[Mailbox, ...]] = {}
        self._failures: list[Exception] = []

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncIterator[Self]:
        with ungrouped():
            try:
                async with anyio.create_task_group() as self._tasks:
                    self._open = True
                    try:
                        yield self
                    finally:
                        self._close()
            finally:  # a loop that ends cancels tasks that it never began
                for each in list(self._subscriptions):
                    if getcoroutinestate(each.work) == CORO_CREATED:
                        await each.work
        if self._failures:
            if len(self._failures) == 1:
                raise self._failures[0]
            raise ExceptionGroup("subscribers failed", self._failures)

    # For (A, B), mypy takes the nearest common parent unless each has a variable of its own.
    @overload
    def subscribe(
        self,
        kind: tuple[type[A], type[B]],
        handler: Callable[[A | B], Awaitable[None]],
        *,
        overflow: Overflow = ...,
        mailbox: int = ...,
        name: str | None = ...,
    ) -> Subscription: ...

    @overload
    def subscribe(
        self,
        kind: tuple[type[A], type[B], type[C]],
        handler: Callable[[A | B | C], Awaitable[None]],
        *,
        overflow: Overflow = ...,
        mailbox: int = ...,
        name: str | None = ...,
    ) -> Subscription: ...

    @overload
    def subscribe(
        self,
        kind: type[E] | tuple[type[E], ...],
        handler: Callable[[E], Awaitable[None]],
        *,
        overflow: Overflow = ...,
        mailbox: int = ...,
        name: str | None = ...,
    ) -> Subscription: ...

    def subscribe(
        self,
        kind: Kind,
        handler: Callable[[E], Awaitable[None]],
        *,
        overflow: Overflow = Overflow.DROP_OLDEST,
        mailbox: int = 1_000,
        name: str | None = None,
    ) -> Subscription:
        """Have `handler` awaited for every event of `kind` from now on.

        Args:
            kind: An event class or several; subclasses are included.
            handler: Awaited with one event at a time, in a task of the bus.
            overflow: What happens when the handler is slower than the publishers.
            mailbox: How many events may wait, at least 1.
            name: How the log calls it; the handler's own name if not given.

        Raises:
            BusClosedError: The bus is not open.
        """
        if not callable(handler):
            raise BusError(f"handler: given {shown(handler)}, expected an `async def` of one event")
        label = name or getattr(handler, "__qualname__", type(handler).__name__)
        box = self._inlet(kind, mailbox, overflow, f"subscriber {label}")
        subscription = Subscription(self, handler, box, label)  # type: ignore[arg-type]  # routed by kind
        self._subscriptions.append(subscription)
        work = subscription.work
        self._tasks.start_soon(lambda: work, name=f"subscriber {label}")
        return subscription

    @overload
    def stream(
        self, kind: tuple[type[A], type[B]], *, overflow: Overflow = ..., mailbox: int = ...
    ) -> EventStream[A | B]: ...

    @overload
    def stream(
        self,
        kind: tuple[type[A], type[B], type[C]],
        *,
        overflow: Overflow = ...,
        mailbox: int = ...,
    ) -> EventStream[A | B | C]: ...

    @overload
    def stream(
        self, kind: type[E] | tuple[type[E], ...], *, overflow: Overflow = ..., mailbox: int = ...
    ) -> EventStream[E]: ...

    def stream(
        self,
        kind: type[E] | tuple[type[E], ...],
        *,
        overflow: Overflow = Overflow.DROP_OLDEST,
        mailbox: int = 1_000,
    ) -> EventStream[E]:
        """Return a stream of the events of `kind` from now on; enter it with `with`.

        Raises:
            BusClosedError: The bus is not open.
        """
        label = f"a stream of {', '.join(each.__name__ for each in _kinds(kind))}"
        return EventStream(self, self._inlet(kind, mailbox, overflow, label))

    def asked_for(self, kind: type[Event]) -> bool:
        """Return whether somebody subscribes to this very class, not just to a parent of it.

        For events that are dear to make.
        """
        return any(kind in inlet.kinds for inlet in self._inlets)

    async def publish(self, event: Event) -> None:
        """Number an event and offer it to every subscriber, then wait for those that are full.

        Once this has begun to wait, the event is accepted: a cancelled publisher loses nothing.

        Raises:
            BusClosedError: The bus is not open.
            ReentrantPublishError: A handler called this.
        """
        if not self._open:
            raise BusClosedError(f"publishing {type(event).__name__}: the event bus is not open")
        refuse_handlers(f"publishing {type(event).__name__}")
        route = self._route(type(event))
        if event.sequence:
            event = attrs.evolve(event)
        self.sequence += 1
        # The number is the bus's to give, and giving it in place costs a tenth of a copy.
        object.__setattr__(event, "sequence", self.sequence)
        full = [box for box in route if not box.put(event)]
        if full:
            await self._wait_for_room(full, terminal=event.terminal)
        elif self.sequence % _PUBLISHES_PER_YIELD == 0 and not event.terminal:
            await checkpoint()

    async def drain(self) -> None:
        """Wait until every subscriber has handled everything published so far."""
        for subscription in list(self._subscriptions):
            await subscription.drained()

    async def _wait_for_room(self, full: list[Mailbox], *, terminal: bool) -> None:
        if terminal:
            full = [box for box in full if not box.stuck]
        taken = [box.taken for box in full]
        deadline = anyio.current_time() + self._grace if terminal else math.inf
        with anyio.CancelScope(deadline=deadline, shield=terminal) as scope:
            for box in full:
                await box.wait_for_room()
        if scope.cancelled_caught:
            for box, before in zip(full, taken, strict=True):
                self._give_up(box, before)

    def _give_up(self, box: Mailbox, taken: int) -> None:
        """Wait for a reader no more that has not moved since it had taken so many events."""
        if box.waited_in_vain(taken):
            labels = [inlet.label for inlet in self._inlets if inlet.box is box]
            for label in labels:
                logger.error("%s is stuck: %d events wait for it", label, len(box))

    def _inlet(self, kind: Kind, capacity: int, overflow: Overflow, label: str) -> Mailbox:
        if not self._open:
            raise BusClosedError("subscribing: the event bus is not open")
        kinds = _kinds(kind)
        if not isinstance(overflow, Overflow):
            raise BusError(f"overflow: given {shown(overflow)}, expected WAIT or DROP_OLDEST")
        if not isinstance(capacity, int) or capacity < 1:
            raise BusError(f"mailbox: given {shown(capacity)}, expected a number of events from 1")
        box = Mailbox(capacity, overflow)
        self._inlets.append(_Inlet(kinds, box, label))
        self._routes.clear()
        return box

    def _note_failure(self, error: Exception) -> None:
        if self._strict:
            self._failures.append(error)

    def _note_end(self, subscription: Subscription) -> None:
        self._subscriptions.remove(subscription)

    def _forget(self, box: Mailbox) -> None:
        for inlet in self._inlets:
            if inlet.box is box:
                inlet.tell_dropped()
        self._inlets = [inlet for inlet in self._inlets if inlet.box is not box]
        self._routes.clear()

    def _route(self, kind: type[Event]) -> tuple[Mailbox, ...]:
        route = self._routes.get(kind)
        if route is None:
            if not issubclass(kind, Event):
                raise BusError(f"publishing {kind.__name__}: expected an event")
            route = tuple(each.box for each in self._inlets if issubclass(kind, each.kinds))
            self._routes[kind] = route
        return route

    def _close(self) -> None:
        self._open = False
        now = anyio.current_time()
        for subscription in self._subscriptions:
            grace = 0 if subscription._mailbox.stuck else self._grace  # it has had its grace
            subscription._scope.deadline = now + grace
        for inlet in self._inlets:
            inlet.tell_dropped()
            inlet.box.close()
        self._inlets = []

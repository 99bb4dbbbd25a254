"""One subscriber of a bus: its mailbox, its task, and what became of its events."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import monotonic
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint

from stablenew._cancelling import insist, leak_of, leave_to_owner
from stablenew.errors import ReentrantPublishError
from stablenew.events.event import Event
from stablenew.events.mailbox import Mailbox

logger = logging.getLogger(__name__)

# The task that handles events; a task started by a handler inherits it but has another id.
_handling: ContextVar[int | None] = ContextVar("_handling", default=None)

_SECONDS_PER_YIELD = 0.002
"""How long a subscriber may go on without letting others run."""


def refuse_handlers(doing: str) -> None:
    """Refuse what a handler must not do.

    Raises:
        ReentrantPublishError: A handler of a bus is running.
    """
    if (handler := _handling.get()) and handler == anyio.get_current_task().id:
        raise ReentrantPublishError(f"{doing} from a handler")


class Owner(Protocol):
    """What a subscription needs of its bus."""

    sequence: int

    def _forget(self, box: Mailbox) -> None: ...

    def _give_up(self, box: Mailbox, taken: int) -> None: ...

    def _note_failure(self, error: Exception) -> None: ...

    def _note_end(self, subscription: Subscription) -> None: ...


class Subscription:
    """One subscriber: its mailbox, its task, and what became of its events.

    Attributes:
        name: How the log calls it.
        handled: Events handled without an exception.
        failed: Events whose handler raised.
        work: What handles the events, awaited in a task of the bus.
        cut: Events accepted but not handled when the bus closed and `grace` was over.
    """

    def __init__(
        self,
        bus: Owner,
        handler: Callable[[Event], Awaitable[None]],
        mailbox: Mailbox,
        name: str,
    ) -> None:
        self.name = name
        self.handled = 0
        self.failed = 0
        self.cut = 0
        self._bus = bus
        self._handler = handler
        self._mailbox = mailbox
        self._current: Event | None = None
        self._turn: anyio.Event | None = None
        self._scope = anyio.CancelScope(shield=True)
        self.work = self._run()

    def end_by(self, deadline: float) -> None:
        """Have it ended when `deadline` comes, whatever is left to handle."""
        self._scope.deadline = deadline

    @property
    def dropped(self) -> int:
        """How many events were dropped because the mailbox was full."""
        return self._mailbox.dropped

    async def drained_within(self, seconds: float) -> bool:
        """Wait until `drained`, whatever is cancelled, and return whether it is.

        Args:
            seconds: How long to wait at the most; not at all for a subscriber that is stuck.
        """
        taken = self._mailbox.taken
        deadline = anyio.current_time() + (0 if self._mailbox.stuck else seconds)
        with anyio.CancelScope(deadline=deadline, shield=True) as scope:
            await insist(self.drained)
        if scope.cancelled_caught:
            self._bus._give_up(self._mailbox, taken)
        return not scope.cancelled_caught

    async def drained(self) -> None:
        """Wait until everything published so far has been handled (or dropped).

        Raises:
            ReentrantPublishError: A handler called this: it would wait for itself.
        """
        refuse_handlers("waiting for subscribers")
        target = self._bus.sequence
        while (oldest := self._oldest()) is not None and oldest <= target:
            if self._turn is None:
                self._turn = anyio.Event()
            await self._turn.wait()

    def close(self) -> None:
        """Take no more events; what was accepted is still handled."""
        self._bus._forget(self._mailbox)
        self._mailbox.close()

    def _oldest(self) -> int | None:
        return self._current.sequence if self._current else self._mailbox.oldest()

    async def _run(self) -> None:
        """Handle events until the mailbox is closed and empty, or the shield's deadline."""
        leave_to_owner()
        handling = _handling.set(anyio.get_current_task().id)
        try:
            with self._scope:
                since = monotonic()
                while (event := await self._mailbox.next()) is not None:
                    self._current = event
                    await self._handle(event)
                    self._current = None
                    self._tell_turn()
                    if monotonic() - since > _SECONDS_PER_YIELD:
                        await checkpoint()
                        since = monotonic()
        finally:
            _handling.reset(handling)
            self.close()
            self._end()
            self._bus._note_end(self)

    async def _handle(self, event: Event) -> None:
        try:
            try:
                await self._handler(event)
            except anyio.get_cancelled_exc_class() as error:
                raise leak_of("the handler", error) from error
        except Exception as error:  # noqa: BLE001  # promise 3: it harms nobody else
            self._note_failure(event, error)
        else:
            self.handled += 1

    def _note_failure(self, event: Event, error: Exception) -> None:
        self.failed += 1
        logger.error("subscriber %s failed at %r", self.name, event, exc_info=error)
        self._bus._note_failure(error)

    def _end(self) -> None:
        self.cut = self._mailbox.clear() + (self._current is not None)
        self._current = None
        self._tell_turn()
        if self.cut:
            logger.error("subscriber %s was cut with %d events left", self.name, self.cut)

    def _tell_turn(self) -> None:
        if self._turn is not None:
            self._turn.set()
            self._turn = None

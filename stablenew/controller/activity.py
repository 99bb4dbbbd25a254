"""Whether something is under way: one thing at a time, and never stuck."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

import anyio
from anyio.lowlevel import checkpoint

from stablenew.errors import StableNewError

cancels_before: ContextVar[int] = ContextVar("cancels_before")
"""How many cancels there had been when what this task runs was called for."""


class State(StrEnum):
    """What a controller is doing; a run can start from `idle` and from `error`."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    ERROR = "error"


class Activity:
    """The state that controllers of one app share.

    Attributes:
        state: What is going on now.
        error: What the last activity failed with, None if it did not.
        cancels: How often `cancel` was called.
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self.error: BaseException | None = None
        self.cancels = 0
        self._scope: anyio.CancelScope | None = None
        self._ended = anyio.Event()

    @contextmanager
    def under(self, scope: anyio.CancelScope) -> Iterator[None]:
        """Be running for as long as this is entered; `cancel` cancels the scope.

        Raises:
            StableNewError: Something is under way already.
        """
        if self._scope is not None:
            raise StableNewError("a run is under way; cancel it or wait for its end")
        self._scope, self.state, self.error = scope, State.RUNNING, None
        if self.cancels > cancels_before.get(self.cancels):
            self.cancel()
        try:
            yield
        except anyio.get_cancelled_exc_class():
            self.state = State.IDLE
            raise
        except BaseException as error:
            self.state, self.error = State.ERROR, error
            raise
        else:
            self.state = State.IDLE
        finally:
            self._scope = None
            self._ended.set()
            self._ended = anyio.Event()

    def cancel(self) -> None:
        """Cancel what is under way, or was called for and has not begun; it ends as always."""
        self.cancels += 1
        if self._scope is not None:
            self.state = State.STOPPING
            self._scope.cancel()

    async def ended(self) -> None:
        """Wait until nothing is under way; a task that was made before this has begun by then."""
        await checkpoint()
        while self._scope is not None:
            await self._ended.wait()

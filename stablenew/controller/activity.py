"""Whether something is under way: one thing at a time, and never stuck."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

import anyio
from anyio.lowlevel import checkpoint

from stablenew.errors import StableNewError

called_at: ContextVar[int] = ContextVar("called_at")
"""The moment, as `Activity` counts them, at which what this task runs was called for."""


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
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self.error: BaseException | None = None
        self._moment = self._cancelled_at = self._paused_at = 0
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
        if self._is_for_this(self._cancelled_at):
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

    def moment(self) -> int:
        """Return a number greater than those of all calls, cancels and pauses until now."""
        self._moment += 1
        return self._moment

    def _is_for_this(self, moment: int) -> bool:
        """Say whether something was asked after what this task runs was called for."""
        return moment > called_at.get(self._moment)

    @property
    def pause_awaits(self) -> bool:
        """Whether what this task runs was paused before it had begun."""
        return self._is_for_this(self._paused_at)

    def pause(self) -> None:
        """Note a pause, for what was called for and has not begun."""
        self._paused_at = self.moment()

    def resume(self) -> None:
        """Take a pause back."""
        self._paused_at = 0

    def cancel(self) -> None:
        """Cancel what is under way, or was called for and has not begun; it ends as always."""
        self._cancelled_at = self.moment()
        if self._scope is not None:
            self.state = State.STOPPING
            self._scope.cancel()

    async def ended(self) -> None:
        """Wait until nothing is under way; a task that was made before this has begun by then."""
        await checkpoint()
        while self._scope is not None:
            await self._ended.wait()

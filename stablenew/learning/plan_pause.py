"""A plan's pause: what is under way ends, and nothing begins until it is resumed."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from stablenew.learning.plan_announcer import PlanAnnouncer


class Signal:
    """Wakes everybody who waits for something to change; anybody looks what it was."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake all who wait."""
        self._event.set()
        self._event = anyio.Event()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for a change, or so many seconds."""
        with anyio.move_on_after(seconds):
            await self._event.wait()


class PlanPause:
    """Whether a plan is paused, and the wait for its end.

    Attributes:
        on: Whether it is.
        changed: Set when that changes, and when a step has ended.
    """

    def __init__(self) -> None:
        self.on = False
        self.changed = Signal()
        self._told = False

    def begin(self) -> None:
        """Have nothing begin any more."""
        self.on = True

    def end(self) -> None:
        """Go on."""
        self.on = False
        self.changed.set()

    async def wait(self, announcer: PlanAnnouncer, running: Callable[[], int]) -> None:
        """Wait while it is on; told once nothing is under way any more.

        Args:
            announcer: Tells it.
            running: How many steps are under way.
        """
        while self.on:
            if not self._told and not running():
                self._told = True
                await announcer.paused()
            else:
                await self.changed.wait()
        if self._told:
            self._told = False
            await announcer.resumed()

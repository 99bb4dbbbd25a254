"""Publishes events as those of one plan or one run."""

from __future__ import annotations

from stablenew._clock import Clock
from stablenew.events.bus import EventBus
from stablenew.events.event import Event


class Publisher:
    """Gives events the time and the ids of what they are about, and publishes them.

    Args:
        bus: Where they go; nowhere if there is none.
        clock: Where times come from.
        plan_id: The plan that they are about, None for a single run.
        run_id: The run that they are about, None where each says it itself.
        node: The backend that it happens on, likewise.
    """

    def __init__(
        self,
        bus: EventBus | None,
        clock: Clock,
        *,
        plan_id: str | None,
        run_id: str | None = None,
        node: str | None = None,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._plan_id = plan_id
        self._run_id = run_id
        self._node = node

    def asked_for(self, kind: type[Event]) -> bool:
        """Return whether somebody subscribes to this very class."""
        return self._bus is not None and self._bus.asked_for(kind)

    async def publish(self, event: Event) -> None:
        """Publish an event that was just made, with the present time."""
        if self._bus is not None:
            head = {
                "at": self._clock.now(),
                "plan_id": self._plan_id,
                "run_id": event.run_id or self._run_id,
                "node": event.node or self._node,
            }
            for name, value in head.items():
                object.__setattr__(event, name, value)  # a tenth of a copy; nobody has it yet
            await self._bus.publish(event)

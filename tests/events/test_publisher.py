"""What a publisher gives the events of a plan or a run."""

from __future__ import annotations

from datetime import UTC, datetime

from stablenew._clock import Clock
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.publisher import Publisher
from tests.support import Listener

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


AT_NOON = Clock(now=lambda: NOON)


async def test_events_get_the_time_and_the_ids_of_what_they_are_about() -> None:
    async with EventBus(strict=True) as bus:
        listener = Listener(bus)
        of_run = Publisher(bus, AT_NOON, plan_id="plan", run_id="run")
        await of_run.publish(Event())
        await Publisher(bus, AT_NOON, plan_id="plan").publish(Event(run_id="own"))
        await bus.drain()
    told = [(event.at, event.plan_id, event.run_id, event.sequence) for event in listener.events]
    assert told == [(NOON, "plan", "run", 1), (NOON, "plan", "own", 2)]

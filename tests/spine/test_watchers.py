"""Slow and broken watchers: the plan goes on, records are there, whoever lives hears the end.

What it costs in time is printed by `scripts/bench_watchers.py`, whose watchers these are.
"""

from __future__ import annotations

import logging
import runpy
from pathlib import Path

import pytest

from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from tests.support import rounds

SCRIPT = runpy.run_path(
    str(Path(__file__).parents[2] / "scripts" / "bench_watchers.py"), run_name="script"
)
STEPS = rounds(8, 20)


@pytest.mark.parametrize("name", SCRIPT["WATCHERS"])
async def test_a_plan_does_not_care_who_watches(name: str) -> None:
    seen = await SCRIPT["watched"](SCRIPT["WATCHERS"][name], STEPS, 0.001)
    assert seen.records == STEPS
    assert seen.ends == seen.expected
    slow = name in ("sleeping", "hanging", "flooding", "not reading")
    assert (seen.dropped > 0) == slow


async def test_what_was_dropped_is_shown_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def take(event: Event) -> None:
        return None

    with caplog.at_level(logging.WARNING, "stablenew"):
        async with EventBus() as bus:
            bus.subscribe(Event, take, mailbox=2, name="a GUI")
            closed = bus.subscribe(Event, take, mailbox=3)
            quick = bus.subscribe(Event, take)
            with bus.stream(Event, mailbox=4):
                for _ in range(10):
                    await bus.publish(Event())
            closed.close()
        assert quick.dropped == 0
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "a stream of Event was too slow: 6 events dropped"
    assert said[1].endswith("take was too slow: 7 events dropped")
    assert said[2] == "subscriber a GUI was too slow: 8 events dropped"
    assert len(said) == 3

"""Slow and broken watchers: how much longer does a plan take beside them?

python scripts/bench_watchers.py [--steps 80] [--delay 0.05] [--rounds 3]

Each kind of watcher is subscribed as a GUI would, dropping what it is too slow for, and a plan runs
on a backend that takes `--delay` seconds a picture. Prints the plan's time beside that of the same
plan without watchers (the rounds take turns; the medians are compared), and what became of records,
ends and drops.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import attrs
from anyio.abc import TaskGroup

from stablenew import (
    App,
    Behaviour,
    Event,
    EventBus,
    FakeBackend,
    PlanFinished,
    Settings,
    StepFinished,
    open_app,
)
from stablenew.learning.learning_record_reader import read_records

CONFIG = {"txt2img": {"prompt": "a cat", "seed": 1}}
STREAMS = 50
FLOOD = 200
"""Events that a flooding watcher publishes after each step."""


@attrs.frozen(kw_only=True)
class Flooded(Event):
    """Something that concerns nobody."""


@attrs.define
class Watched:
    """What became of a plan and of those who watched it.

    Attributes:
        seconds: The plan's time.
        records: How many there are.
        ends: How many watchers that were there to the end heard of it.
        expected: How many those were.
        dropped: How many events were dropped, counted by the bus.
    """

    seconds: float = 0.0
    records: int = 0
    ends: int = 0
    expected: int = 0
    dropped: int = 0


Watch = Callable[[App, TaskGroup, Watched], Awaitable[Callable[[], int]]]


async def nobody(app: App, tasks: TaskGroup, seen: Watched) -> Callable[[], int]:
    """Watch nothing."""
    return lambda: 0


async def sleeping(app: App, tasks: TaskGroup, seen: Watched) -> Callable[[], int]:
    """Take a while over everything but the end."""

    async def take(event: Event) -> None:
        if isinstance(event, PlanFinished):
            seen.ends += 1
        else:
            await anyio.sleep(0.05)

    seen.expected = 1
    subscription = app.bus.subscribe(Event, take, mailbox=10)
    return lambda: subscription.dropped


async def hanging(app: App, tasks: TaskGroup, seen: Watched) -> Callable[[], int]:
    """Never come back from the first event; nobody can tell it of the end."""

    async def take(event: Event) -> None:
        await anyio.Event().wait()

    subscription = app.bus.subscribe(Event, take, mailbox=10)
    return lambda: subscription.dropped


async def raising(app: App, tasks: TaskGroup, seen: Watched) -> Callable[[], int]:
    """Fail at everything."""

    async def take(event: Event) -> None:
        seen.ends += isinstance(event, PlanFinished)
        raise ValueError("a bug in a GUI")

    seen.expected = 1
    subscription = app.bus.subscribe(Event, take)
    return lambda: subscription.dropped


async def flooding(app: App, tasks: TaskGroup, seen: Watched) -> Callable[[], int]:
    """Publish a flood after each step."""

    async def flood() -> None:
        for _ in range(FLOOD):
            await app.bus.publish(Flooded())

    async def take(event: Event) -> None:
        if isinstance(event, StepFinished):
            tasks.start_soon(flood)
        seen.ends += isinstance(event, PlanFinished)

    seen.expected = 1
    subscription = app.bus.subscribe(Event, take, mailbox=100)
    return lambda: subscription.dropped


async def disappearing(app: App, tasks: TaskGroup, seen: Watched) -> Callable[[], int]:
    """Leave in the middle: a subscriber that closes, and a reader that is cancelled."""
    scope = anyio.CancelScope()

    async def take(event: Event) -> None:
        if isinstance(event, StepFinished) and event.index == 1:
            subscription.close()
            scope.cancel()

    async def read() -> None:
        with scope, app.bus.stream(Event) as events:
            async for _ in events:
                await anyio.sleep(0.001)

    subscription = app.bus.subscribe(Event, take)
    tasks.start_soon(read)
    return lambda: subscription.dropped


async def streaming(app: App, tasks: TaskGroup, seen: Watched) -> Callable[[], int]:
    """Be fifty at once."""
    streams = [app.bus.stream(Event) for _ in range(STREAMS)]

    async def read(number: int) -> None:
        with streams[number] as events:
            async for event in events:
                if isinstance(event, PlanFinished):
                    seen.ends += 1
                    return

    for number in range(STREAMS):
        tasks.start_soon(read, number)
    seen.expected = STREAMS
    return lambda: sum(stream.dropped for stream in streams)


async def not_reading(app: App, tasks: TaskGroup, seen: Watched) -> Callable[[], int]:
    """Ask for a stream and forget it."""
    stream = app.bus.stream(Event, mailbox=10)
    return lambda: stream.dropped


WATCHERS: dict[str, Watch] = {
    "nobody": nobody,
    "sleeping": sleeping,
    "hanging": hanging,
    "raising": raising,
    "flooding": flooding,
    "disappearing": disappearing,
    "50 streams": streaming,
    "not reading": not_reading,
}


async def watched(watch: Watch, steps: int, delay: float) -> Watched:
    """Run a plan beside a watcher."""
    seen = Watched()
    plan = {"target_variable": "txt2img.steps", "sweep_values": list(range(1, steps + 1))}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(out=Path(folder) / "runs", learning_enabled=True)
        backend = FakeBackend(Behaviour(delay=delay, progress=(0.25, 0.5, 0.75, 1.0)))
        bus = EventBus(grace=1.0)
        async with open_app(settings, backend=backend, bus=bus) as app:
            async with anyio.create_task_group() as tasks:
                dropped = await watch(app, tasks, seen)
                started = time.perf_counter()
                result = await app.learning.run_learning_plan(plan, CONFIG)
                seen.seconds = time.perf_counter() - started
                assert result.success
                for _ in range(200):
                    if seen.ends < seen.expected:
                        await anyio.sleep(0.01)
                tasks.cancel_scope.cancel()
            seen.dropped = dropped()
        seen.records = sum(1 for _ in read_records(settings.records_path))
    return seen


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    logging.disable(logging.CRITICAL)
    times: dict[str, list[float]] = {name: [] for name in WATCHERS}
    last: dict[str, Watched] = {}
    for _ in range(flags.rounds):
        for name, watch in WATCHERS.items():
            last[name] = anyio.run(watched, watch, flags.steps, flags.delay)
            times[name].append(last[name].seconds)
    alone = statistics.median(times["nobody"])
    print(f"{flags.steps} steps of {flags.delay * 1000:.0f} ms, {flags.rounds} rounds")
    print(f"{'watcher':14}{'seconds':>9}{'change':>9}{'records':>9}{'ends':>9}{'dropped':>9}")
    for name, seconds in times.items():
        middle, seen = statistics.median(seconds), last[name]
        ends = f"{seen.ends}/{seen.expected}"
        change = f"{(middle / alone - 1) * 100:+.1f} %"
        print(f"{name:14}{middle:9.2f}{change:>9}{seen.records:9}{ends:>9}{seen.dropped:9}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Start, cancel, start again, many times: what is left over after that?

python scripts/soak.py --rounds 1000

Each round starts a plan of three steps, ends it at a moment of chance in one of several ways, and
runs the plan again to its end, all with learning on. Prints tasks, handles and memory after the
first rounds and after all, and threads before the app opens and after it has closed. Ends with 1 if
anything was left over.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import pathlib
import random
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import attrs

from stablenew import App, Behaviour, FakeBackend, Settings, open_app
from stablenew.learning.learning_record_reader import read_records

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [1, 2, 3]}
CONFIG = {"txt2img": {"prompt": "a cat", "seed": 1}, "upscale": {"enabled": True}}
WARM_UP = 10
LONGEST = 0.05
"""Seconds: about what a whole plan takes here."""

End = Callable[[App, float], Awaitable[object]]


async def by_controller(app: App, moment: float) -> None:
    """Have another task cancel the plan."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_later, moment, app.learning.cancel_plan)
        await app.learning.run_learning_plan(PLAN, CONFIG)


async def by_scope(app: App, moment: float) -> None:
    """Give it a scope with a deadline."""
    with anyio.move_on_after(moment):
        await app.learning.run_learning_plan(PLAN, CONFIG)


async def by_task(app: App, moment: float) -> None:
    """Cancel the task that awaits it."""
    task = asyncio.create_task(app.learning.run_learning_plan(PLAN, CONFIG))
    await asyncio.sleep(moment)
    task.cancel()
    await asyncio.wait([task])


async def by_timeout(app: App, moment: float) -> None:
    """Give it asyncio's own timeout."""
    try:
        async with asyncio.timeout(moment):
            await app.learning.run_learning_plan(PLAN, CONFIG)
    except TimeoutError:
        pass


async def by_step(app: App, moment: float) -> None:
    """Cancel one step; the plan goes on."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_later, moment, app.learning.cancel_step)
        await app.learning.run_learning_plan(PLAN, CONFIG)


async def by_pause(app: App, moment: float) -> None:
    """Pause it, and cancel it while it waits."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_later, moment, app.learning.pause)
        tasks.start_soon(_later, 2 * moment, app.learning.cancel_plan)
        await app.learning.run_learning_plan(PLAN, CONFIG)
    app.learning.resume()


ENDS: tuple[End, ...] = (by_controller, by_scope, by_task, by_timeout, by_step, by_pause)


async def _later(moment: float, call: Callable[[], None]) -> None:
    await anyio.sleep(moment)
    call()


_COUNTED = [tracemalloc.Filter(inclusive=False, filename_pattern=pathlib.__file__)]
"""Python's table of names of files grows in leaps of a megabyte, and never shrinks."""


@attrs.frozen
class Held:
    """What a process holds."""

    tasks: int
    handles: int
    kilobytes: int


async def held(app: App) -> Held:
    """Look at this process when it rests; memory is what Python allocated."""
    await app.bus.drain()
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces(_COUNTED)
    return Held(
        tasks=len(asyncio.all_tasks()),
        handles=len(os.listdir("/proc/self/fd")),  # noqa: PTH208  # one call, no objects
        kilobytes=sum(each.size for each in snapshot.traces) // 1024,
    )


async def one_round(app: App, chance: random.Random) -> None:
    """Start, end somehow, start again.

    Raises:
        AssertionError: It could not be started again, or did not end as it should.
    """
    await chance.choice(ENDS)(app, chance.uniform(0, LONGEST))
    assert app.learning.state == "idle", app.learning.state
    result = await app.learning.run_learning_plan(PLAN, CONFIG)
    assert result.success, result
    assert app.learning.state == "idle", app.learning.state


async def soak(rounds: int, seed: int, out: Path) -> int:
    """Return how many kinds of things were left over."""
    chance = random.Random(seed)  # moments, no secrets
    settings = Settings(out=out, learning_enabled=True)
    backend = FakeBackend(Behaviour(delay=0.002))
    tracemalloc.start()  # before the first round: what takes the place of something is no growth
    async with open_app(settings, backend=backend) as app:
        for _ in range(WARM_UP):
            await one_round(app, chance)
        backend.calls.clear()
        before = await held(app)
        for number in range(rounds):
            await one_round(app, chance)
            backend.calls.clear()
            if number % 100 == 99:
                print(f"{number + 1} rounds", file=sys.stderr, flush=True)
        backend.interrupts.clear()
        after = await held(app)
        finished = WARM_UP + rounds
    records = sum(1 for _ in read_records(settings.records_path))
    marked = list((out / ".under_way").iterdir())
    temporary = [p for p in out.rglob(".*") if p.suffix == ".tmp"]
    grown = (after.kilobytes - before.kilobytes) / rounds
    print(f"{'':12}{'before':>10}{'after':>10}")
    for field in attrs.fields(Held):
        one, other = getattr(before, field.name), getattr(after, field.name)
        print(f"{field.name:12}{one:10}{other:10}")
    print(f"{'grown':12}{grown:10.2f} KB a round")
    print(f"{'records':12}{records:10} of at least {3 * finished}")
    print(f"{'marked':12}{len(marked):10}\n{'temporary':12}{len(temporary):10}")
    left = [
        after.tasks > before.tasks,
        after.handles > before.handles,
        grown > MOST_GROWN,
        records < 3 * finished,
        bool(marked),
        bool(temporary),
    ]
    return sum(left)


MOST_GROWN = 4.0
"""Kilobytes a round: less than what one forgotten result or task holds."""


def main() -> int:
    """Run the rounds; 1 if anything was left over."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        threads = threading.active_count()
        left = anyio.run(soak, flags.rounds, flags.seed, Path(folder) / "runs")
    print(f"{'threads':12}{threads:10}{threading.active_count():10}")
    return min(1, left + threading.active_count() - threads)


if __name__ == "__main__":
    sys.exit(main())

"""The spine's own speed: the bus, a step around a backend that answers at once, imports.

Prints ratios beside a floor measured in the same run: a bare anyio memory stream for the bus, the
same file operations without us for the steps, an empty interpreter for the imports.

Usage: bench_spine.py [--steps 10,1000,10000] [--records 10,300]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import anyio

from stablenew.app import open_app
from stablenew.backends.base import Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FakeBackend, fake_picture
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning.learning_events import StepFinished
from stablenew.learning.learning_plan import LearningPlan

CONFIG = PipelineConfig.from_dict({"txt2img": {"prompt": "a cat", "seed": 1}})
EVENTS = 100_000


async def take(event: Event) -> None:
    """Handle an event by doing nothing."""


async def bus_rate(subscribers: int) -> float:
    """Return events per second through a bus, every subscriber having handled all of them."""
    count = EVENTS // subscribers
    async with EventBus() as bus:
        for _ in range(subscribers):
            bus.subscribe(Event, take, overflow=Overflow.WAIT)
        started = time.perf_counter()
        for _ in range(count):
            await bus.publish(Event())
        await bus.drain()
        return count / (time.perf_counter() - started)


async def stream_rate() -> float:
    """Return events per second through a bare memory stream with one reader."""
    send, receive = anyio.create_memory_object_stream[Event](1_000)

    async def read() -> None:
        async with receive:
            async for event in receive:
                await take(event)

    started = time.perf_counter()
    async with anyio.create_task_group() as tasks, send:
        tasks.start_soon(read)
        for _ in range(EVENTS):
            await send.send(Event())
        await send.aclose()
    return EVENTS / (time.perf_counter() - started)


def resident() -> float:
    """Return this process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def plan_times(out: Path, steps: int, *, learn: bool) -> tuple[list[float], float]:
    """Run a plan; return the seconds of each step, and the memory that a step left (in KB)."""
    values = [1 + index / 100 for index in range(steps)]
    plan = LearningPlan(target_variable="cfg_scale", sweep_values=values)
    ends: list[float] = []
    memory: list[float] = []

    async def note(_: StepFinished) -> None:
        ends.append(time.perf_counter())
        if len(ends) % max(1, steps // 20) == 0:  # looking costs a tenth of a millisecond
            memory.append(resident())

    backend = _Instant(steps)
    async with open_app(Settings(out=out, learning_enabled=learn), backend=backend) as app:
        app.bus.subscribe(StepFinished, note, overflow=Overflow.WAIT)
        app.reports.close()
        await app.learning.run_learning_plan(plan, CONFIG)
        await app.bus.drain()
    gaps = [later - sooner for sooner, later in pairwise(ends)]
    tenth = max(1, len(memory) // 10)
    grown = (memory[-1] - memory[tenth - 1]) * 1e3 / max(1, steps * 9 // 10)
    return gaps, grown


class _Instant(FakeBackend):
    """Answers at once with pictures that were made before: its own time is not the program's."""

    def __init__(self, pictures: int) -> None:
        super().__init__()
        requests = (
            StageRequest(request_id="", stage="txt2img", settings={"seed": seed})
            for seed in range(pictures)
        )
        self._data = iter([fake_picture(request).data for request in requests])

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Return the next picture."""
        await report(1.0)
        data = next(self._data)
        return [Picture(data=data, width=8, height=8, settings=request.settings)]


def synced(path: Path, data: bytes, *, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def floor_step(out: Path, number: int, picture: bytes, metadata: bytes, events: bytes) -> None:
    """Do what a step does to the file system, and nothing else."""
    folder = out / f"floor-{number:05d}"
    folder.mkdir(parents=True)
    temp = folder / ".picture.tmp"
    synced(temp, picture, flags=os.O_EXCL)
    os.link(temp, folder / "txt2img_1.png")
    temp.unlink()
    sync_folder(folder)
    temp = folder / ".metadata.tmp"
    synced(temp, metadata, flags=os.O_EXCL)
    temp.replace(folder / "run_metadata.json")
    sync_folder(folder)
    synced(out / "events.jsonl", events, flags=os.O_APPEND)


def floor_record(out: Path, lines: bytes, record: bytes) -> None:
    """Do what appending a record does to the file system: copy, append, fsync, rename."""
    path = out / "learning_records.jsonl"
    if path.exists():
        path.read_bytes()
    temp = out / ".records.tmp"
    synced(temp, lines + record, flags=os.O_EXCL)
    temp.replace(path)
    sync_folder(out)


def floor_times(out: Path, steps: int, sample: Path, *, learn: bool) -> list[float]:
    """Return the seconds that the file system itself takes for each step."""
    run = next(path.parent for path in sorted(sample.glob("*/run_metadata.json")))
    picture = (run / "txt2img_1.png").read_bytes()
    metadata = (run / "run_metadata.json").read_bytes()
    events = next(sample.glob("*/events.jsonl")).read_bytes()
    share = events[: len(events) // max(1, len(list(sample.glob("*/run_metadata.json"))))]
    records = sample / "learning_records.jsonl"
    record = records.read_bytes().splitlines(keepends=True)[0] if learn else b""
    out.mkdir(parents=True)
    times: list[float] = []
    for number in range(steps):
        started = time.perf_counter()
        floor_step(out, number, picture, metadata, share)
        if learn:
            floor_record(out, record * number, record)
        times.append(time.perf_counter() - started)
    return times


async def step_report(steps: int, *, learn: bool) -> str:
    """Measure a plan and its floor, and say what is ours."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        gaps, grown = await plan_times(out / "ours", steps, learn=learn)
        floor = floor_times(out / "floor", min(steps, 2_000), out / "ours", learn=learn)
    ours, theirs = statistics.median(gaps), statistics.median(floor)
    tenth = max(1, len(gaps) // 5)
    drift = statistics.median(gaps[-tenth:]) / statistics.median(gaps[:tenth]) - 1
    kind = "with a record" if learn else "learning off"
    return (
        f"{steps:>6} steps, {kind:<13}: {ours * 1e3:.2f} ms a step, file system {theirs * 1e3:.2f},"
        f" ours {(ours - theirs) * 1e3:.2f} ms; last fifth / first {drift:+.1%};"
        f" memory {grown:+.1f} KB a step"
    )


def import_seconds(*words: str) -> float:
    """Return the best of some fresh starts of the interpreter."""

    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    return min(once() for _ in range(7))


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def best(call: Callable[[], float]) -> float:
    return max(call() for _ in range(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=numbers, default=[10, 1_000, 10_000])
    parser.add_argument("--records", type=numbers, default=[10, 300])
    options = parser.parse_args()
    stream = best(lambda: anyio.run(stream_rate))
    print(f"memory stream, one reader   {stream:>9,.0f} events/s")
    for subscribers in (1, 10):
        rate = best(lambda count=subscribers: anyio.run(bus_rate, count))  # type: ignore[misc]
        print(
            f"bus, {subscribers:>2} subscriber(s)       {rate:>9,.0f} events/s,"
            f" {rate / stream:.2f} of the stream"
        )
    for steps in options.steps:
        print(anyio.run(partial(step_report, steps, learn=False)))
    for steps in options.records:
        print(anyio.run(partial(step_report, steps, learn=True)))
    empty = import_seconds("-c", "pass")
    for label, words in {
        "import stablenew": ("-c", "import stablenew"),
        "stablenew.run --help": ("-m", "stablenew.run", "--help"),
    }.items():
        seconds = import_seconds(*words)
        print(f"{label:<22} {seconds:.3f} s, an empty interpreter {empty:.3f} s")


if __name__ == "__main__":
    main()

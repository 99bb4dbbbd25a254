"""The record file's speed beside its floor and its peers, interleaved in one run.

Prints, for files of 0, 20 and 200 MB (`--full`: 2 GB): p50 and p99 of one awaited append of a 2 KB
record in ms, and ratios to the floor (one write and fsync); then records per second of 64
appenders; then reading. Peers: SQLite (WAL, synchronous FULL), Optuna's journal file where it is
installed (`pip install optuna`), and copying the whole file for each append.

Usage: bench_records.py [--full] [--appends 200] [--folder DIR]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
import msgspec

from stablenew.learning.learning_record_reader import read_records
from stablenew.storage import system
from stablenew.storage.record_appender import append_lines

SETTINGS = {
    "prompt": "a red mushroom in a forest, morning light, moss, detailed, soft shadows",
    "negative_prompt": "blurry, dark, low quality",
    "model": "stablenew-tiny-v1",
    "seed": 7,
    "steps": 20,
    "cfg_scale": 5.5,
    "sampler_name": "DPM++ 2M",
    "scheduler": "Karras",
    "width": 64,
    "height": 64,
}
RUN_ID = "20261120T120000-000000-abcdef-00001"
OUTPUT = {**SETTINGS, "stage": "txt2img", "path": f"{RUN_ID}/txt2img_1.png", "sha256": "ab" * 32}
RECORD = {
    "run_id": RUN_ID,
    "timestamp": "2026-11-20T12:00:00+00:00",
    "base_config": {"txt2img": SETTINGS},
    "variant_configs": [{"txt2img.cfg_scale": 5.5}],
    "primary_steps": 20,
    "primary_cfg_scale": 5.5,
    "metadata": {"run_type": "learning", "variable_name": "cfg_scale", "variable_value": 5.5},
    "stage_plan": ["txt2img"],
    "stage_events": [{"stage": "txt2img", "status": "succeeded", "duration_s": 0.7, "images": 3}],
    "outputs": [{**OUTPUT, "image_id": f"txt2img_{number}"} for number in (1, 2, 3)],
    "schema_version": 3,
}
LINE = json.dumps(RECORD).encode()  # about 2 KB
TOGETHER = 64
ROUNDS = 20
COPIES = {0: 50, 20: 12, 200: 4, 2_000: 2}


class Rival(Protocol):
    """Something that appends records."""

    async def append(self, count: int) -> None:
        """Append records; they are on disk when this returns."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def fill(path: Path, megabytes: int) -> None:
    piece = (LINE + b"\n") * 1_000
    with path.open("wb") as file:
        for _ in range(megabytes * 1_000_000 // len(piece)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


class Ours:
    """One awaited append; many are made by 64 tasks that stay."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.path = folder / "ours.jsonl"
        fill(self.path, megabytes)

    async def append(self, count: int) -> None:
        if count == 1:
            await append_lines(self.path, [LINE])
            return
        async with anyio.create_task_group() as tasks:
            for _ in range(TOGETHER):
                tasks.start_soon(self._some, count // TOGETHER)

    async def _some(self, count: int) -> None:
        for _ in range(count):
            await append_lines(self.path, [LINE])

    def close(self) -> None:
        pass


class Copying(Ours):
    """The same without spares: every append copies the file."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.path = folder / "copied.jsonl"
        fill(self.path, megabytes)

    async def append(self, count: int) -> None:
        system.SPARES = False
        try:
            await super().append(count)
        finally:
            system.SPARES = True


class Floor:
    """What no append can beat: one write and one fsync, without a thread."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        path = folder / "floor.jsonl"
        fill(path, megabytes)
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)

    async def append(self, count: int) -> None:
        os.write(self.descriptor, (LINE + b"\n") * count)
        os.fsync(self.descriptor)

    def close(self) -> None:
        os.close(self.descriptor)


class Sqlite:
    """A table in WAL mode, every commit flushed; several records in one transaction."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.base = sqlite3.connect(folder / "base.sqlite", check_same_thread=False)
        self.base.execute("PRAGMA journal_mode=WAL")
        self.base.execute("PRAGMA synchronous=FULL")
        self.base.execute("CREATE TABLE records (line BLOB)")
        rows = megabytes * 1_000_000 // len(LINE)
        self.base.executemany("INSERT INTO records VALUES (?)", ((LINE,) for _ in range(rows)))
        self.base.commit()
        self.base.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def append(self, count: int) -> None:
        await anyio.to_thread.run_sync(self._insert, count)

    def _insert(self, count: int) -> None:
        self.base.executemany("INSERT INTO records VALUES (?)", [(LINE,)] * count)
        self.base.commit()

    def close(self) -> None:
        self.base.close()


class SqliteEach(Sqlite):
    """The same with a transaction of its own for each record, from 64 tasks."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        (folder / "each").mkdir()
        super().__init__(folder / "each", megabytes)
        self.turn = anyio.Lock()

    async def append(self, count: int) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(min(count, TOGETHER)):
                tasks.start_soon(self._some, max(1, count // TOGETHER))

    async def _some(self, count: int) -> None:
        for _ in range(count):
            async with self.turn:
                await super().append(1)


class Optuna:
    """Optuna's journal: a lock file and an append with fsync."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        path = folder / "journal.log"
        fill(path, megabytes)
        journal: Any = importlib.import_module("optuna.storages.journal")
        self.backend = journal.JournalFileBackend(str(path))

    async def append(self, count: int) -> None:
        await anyio.to_thread.run_sync(self.backend.append_logs, [RECORD] * count)

    def close(self) -> None:
        pass


def rivals() -> dict[str, Callable[[Path, int], Rival]]:
    found: dict[str, Callable[[Path, int], Rival]] = {
        "floor": Floor,
        "ours": Ours,
        "sqlite": Sqlite,
        "sqlite, each": SqliteEach,
        "copy": Copying,
    }
    try:
        importlib.import_module("optuna.storages.journal")
    except ImportError:
        print("optuna is not installed; its journal is left out")
    else:
        found["optuna"] = Optuna
    return found


@contextmanager
def opened(folder: Path, megabytes: int) -> Iterator[dict[str, Rival]]:
    made = {name: make(folder, megabytes) for name, make in rivals().items()}
    try:
        yield made
    finally:
        for rival in made.values():
            rival.close()


async def timed(rival: Rival, count: int) -> float:
    started = time.perf_counter()
    await rival.append(count)
    return time.perf_counter() - started


async def measure(folder: Path, megabytes: int, appends: int) -> dict[str, float]:
    """Print the figures for one size; return the medians of one append."""
    times: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    with opened(folder, megabytes) as made:
        for rival in made.values():
            await rival.append(1)  # adopting the file costs one copy
        for number in range(appends):
            for name, rival in made.items():
                if name != "copy" or number < COPIES[megabytes]:
                    times.setdefault(name, []).append(await timed(rival, 1))
        for _ in range(3):
            for name, rival in made.items():
                rounds = 1 if name == "copy" else ROUNDS
                if name == "copy" or isinstance(rival, Ours):
                    seconds = await timed(rival, TOGETHER * rounds)
                else:  # the others' best: 64 records in one transaction or write
                    seconds = sum([await timed(rival, TOGETHER) for _ in range(rounds)])
                rates.setdefault(name, []).append(TOGETHER * rounds / seconds)
    floor = statistics.median(times["floor"])
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        p99 = sorted(values)[int(len(values) * 0.99)]
        rate = statistics.median(rates[name])
        print(
            f"{megabytes:>5} MB  {name:<12} p50 {medians[name] * 1e3:>8.2f} ms"
            f"  p99 {p99 * 1e3:>8.2f}  / floor {medians[name] / floor:>8.1f}"
            f"   {TOGETHER} appenders {rate:>8,.0f}/s"
        )
    return medians


async def measure_loop(folder: Path) -> None:
    """Print the longest that appends keep a ticker of the loop waiting."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + 0.001
            await anyio.sleep(0.001)
            late.append(time.perf_counter() - due)

    async def measured(what: str, appending: Callable[[], Awaitable[None]]) -> None:
        late.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            await appending()
            tasks.cancel_scope.cancel()
        ordered = sorted(late)
        p99, longest = ordered[int(len(ordered) * 0.99)] * 1e3, ordered[-1] * 1e3
        print(f"the loop, {what:<24} p99 {p99:.2f} ms late, longest {longest:.2f} ms")

    async def some() -> None:
        for _ in range(500):
            await append_lines(folder / "loop.jsonl", [LINE])

    long = LINE.ljust(8_000_000)

    async def large() -> None:
        for _ in range(10):
            await append_lines(folder / "large.jsonl", [long])

    await measured("idle", lambda: anyio.sleep(1))
    await measured("500 appends", some)
    await measured("10 appends of 8 MB", large)


def measure_reading(folder: Path) -> None:
    path = folder / "read.jsonl"
    fill(path, 40)
    lines = path.read_bytes().splitlines()

    def decode() -> None:
        for line in lines:
            msgspec.json.decode(line)

    def read() -> None:
        for _ in read_records(path):
            pass

    seconds = {"msgspec alone": 9.9, "read_records": 9.9}
    for _ in range(5):
        for name, call in {"msgspec alone": decode, "read_records": read}.items():
            started = time.perf_counter()
            call()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    for name, value in seconds.items():
        print(f"{name:<14} {len(lines) / value:>9,.0f} records/s")
    share = seconds["msgspec alone"] / seconds["read_records"]
    print(f"read_records runs at {share:.0%} of msgspec's speed")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--appends", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    medians: dict[int, dict[str, float]] = {}
    for megabytes in (0, 20, 200, *([2_000] if options.full else [])):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            medians[megabytes] = await measure(Path(folder), megabytes, options.appends)
    largest = max(medians)
    flat = medians[largest]["ours"] / medians[0]["ours"]
    copy = medians[largest]["copy"] / medians[largest]["ours"]
    print(f"ours, {largest} MB / empty: {flat:.2f}; copying / ours at {largest} MB: {copy:,.0f}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        await measure_loop(Path(folder))
        measure_reading(Path(folder))


if __name__ == "__main__":
    anyio.run(main)

"""Kill writers of a record file with SIGKILL at random moments, and see that nothing is lost.

Two processes of eight tasks each append; three processes read the whole file all the time (by
read, by mmap, slowly). Writers are killed and started again. In the end every acknowledged record
must be there, whole and once; no reader may have seen half a line, or one that was gone later.

Usage: kill_records.py [--kills 30] [--seed 1] [--size-mb 1] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio

from stablenew.storage.record_appender import append_lines

TASKS = 8
READ_PIECE = 50_000


def forked(call: Callable[[], None]) -> int:
    """Run something in a child process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            call()
            status = 0
        finally:
            os._exit(status)
    return child


def write_for_ever(path: Path, acknowledged: Path, name: str) -> None:
    """Append records in eight tasks, noting each one that was acknowledged."""
    log = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def append(task: int) -> None:
        number = 0
        while True:
            number += 1
            run_id = f"{name}-{task}-{number}"
            line = json.dumps({"run_id": run_id, "pad": "x" * random.randrange(10, 3_000)})
            await append_lines(path, [line.encode()])
            os.write(log, f"{run_id}\n".encode())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for task in range(TASKS):
                tasks.start_soon(append, task)

    anyio.run(main)


def read_at_once(path: Path) -> bytes:
    return path.read_bytes()


def read_mapped(path: Path) -> bytes:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return bytes(view)


def read_slowly(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        pieces = []
        while piece := file.read(READ_PIECE):
            pieces.append(piece)
            time.sleep(0.001)
        return b"".join(pieces)


def read_for_ever(path: Path, read: Callable[[Path], bytes]) -> None:
    """Read the whole file again and again; raise on half a line, or on one that went away."""
    before = b""
    while True:
        content = read(path)
        if not content.endswith(b"\n"):
            raise AssertionError(f"{read.__name__}: the file ends in {content[-80:]!r}")
        if not content.startswith(before):
            raise AssertionError(f"{read.__name__}: lines that were read before are gone")
        for line in content[len(before) :].splitlines():
            json.loads(line)
        before = content


def check(path: Path, acknowledged: Path) -> tuple[int, int]:
    """Return how many records were acknowledged and how many are there; raise if one is lost."""
    found = Counter(json.loads(line)["run_id"] for line in path.read_bytes().splitlines())
    told = acknowledged.read_text().splitlines()
    lost = [run_id for run_id in told if not found[run_id]]
    twice = [run_id for run_id, count in found.items() if count > 1 and run_id != "first"]
    if lost or twice:
        raise AssertionError(f"lost {lost[:5]} ({len(lost)}), twice {twice[:5]} ({len(twice)})")
    return len(told), len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size-mb", type=float, default=1.0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run(Path(folder), options.kills, random.Random(options.seed), options.size_mb)


def run(folder: Path, kills: int, chance: random.Random, size_mb: float) -> None:
    path, acknowledged = folder / "r.jsonl", folder / "acknowledged"
    first = json.dumps({"run_id": "first", "pad": "x" * 1_000}).encode() + b"\n"
    path.write_bytes(first * max(1, int(size_mb * 1e6 / len(first))))
    acknowledged.touch()
    readers = [
        forked(lambda read=read: read_for_ever(path, read))  # type: ignore[misc]
        for read in (read_at_once, read_mapped, read_slowly)
    ]
    writers: dict[int, int] = {}
    serial = 0
    try:
        for kill in range(kills + 2):
            while len(writers) < 2:
                serial += 1
                name = f"w{serial}"
                child = forked(lambda name=name: write_for_ever(path, acknowledged, name))  # type: ignore[misc]
                writers[child] = serial
            time.sleep(chance.uniform(0.02, 0.25))
            last = kill >= kills
            victim = chance.choice(list(writers))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            del writers[victim]
            if last and not writers:
                break
            for reader in readers:
                done, status = os.waitpid(reader, os.WNOHANG)
                if done:
                    readers.remove(reader)
                    raise AssertionError(f"a reader saw what it must not (status {status})")
    finally:
        for child in (*readers, *writers):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    anyio.run(append_lines, path, [b'{"run_id": "last"}'])
    told, found = check(path, acknowledged)
    strays = [each.name for each in folder.iterdir() if each.suffix in (".tmp", ".old")]
    if strays:
        raise AssertionError(f"left behind: {strays}")
    size = path.stat().st_size / 1e6
    print(
        f"{kills} kills: {told} acknowledged, all there, whole and once; {found} in {size:.1f} MB"
    )


if __name__ == "__main__":
    main()

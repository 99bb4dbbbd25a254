"""Appends as tasks and processes make them, and what stands in their way."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stablenew.errors import RecordError
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_record_writer import LearningRecordWriter
from stablenew.storage import files, record_file, system
from stablenew.storage.record_appender import append_lines
from stablenew.storage.record_reader import read_lines
from tests.storage.harness import ROADS
from tests.support import cancelled_at, open_handles, rounds


@pytest.fixture(params=["exchange", "link", "replace"])
def path(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record file on each road, with spares from the first lines on."""
    monkeypatch.setattr(record_file, "SMALL", 64)
    for name, call in ROADS[request.param].items():
        monkeypatch.setattr(system, name, call)
    return tmp_path / "runs" / "r.jsonl"


def numbered(number: int) -> bytes:
    return json.dumps({"run_id": f"run-{number}", "pad": "x" * 40}).encode()


def numbers(path: Path) -> list[int]:
    return [int(json.loads(line)["run_id"][4:]) for _, line in read_lines(path)]


async def test_tasks_append_together_in_their_own_order(path: Path) -> None:
    async def append(base: int) -> None:
        for number in range(base, base + 20):
            await append_lines(path, [numbered(number)])

    async with anyio.create_task_group() as tasks:
        for base in range(0, 640, 20):
            tasks.start_soon(append, base)
    found = numbers(path)
    assert sorted(found) == list(range(640))
    for base in range(0, 640, 20):
        own = [number for number in found if base <= number < base + 20]
        assert own == sorted(own)


async def test_several_lines_are_there_all_or_none(path: Path) -> None:
    await append_lines(path, [numbered(number) for number in range(50)])
    await append_lines(path, [])
    with pytest.raises(RecordError, match="newline"):
        await append_lines(path, [numbered(50), b"two\nlines"])
    assert numbers(path) == list(range(50))


async def test_event_loops_in_two_threads_lose_nothing_to_each_other(path: Path) -> None:
    async def append(base: int) -> None:
        for number in range(base, base + 40):
            await append_lines(path, [numbered(number)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(append, 0))
        tasks.start_soon(append, 1000)
    assert sorted(numbers(path)) == [*range(40), *range(1000, 1040)]


async def test_readers_see_whole_lines_and_extensions_at_any_moment(path: Path) -> None:
    await append_lines(path, [numbered(0)])
    done, appends = anyio.Event(), rounds(50, 150)

    async def read() -> None:
        before = b""
        while not done.is_set():
            content = await anyio.to_thread.run_sync(path.read_bytes)
            assert content.endswith(b"}\n")
            assert content.startswith(before)
            before = content

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(read)
        for number in range(1, appends):
            await append_lines(path, [numbered(number)])
        done.set()
    assert numbers(path) == list(range(appends))


async def test_cancelling_at_any_moment_loses_no_acknowledged_line(path: Path) -> None:
    await append_lines(path, [numbered(0)])
    acknowledged = [0]
    handles = open_handles()
    moment, reached = 0, True
    while reached:
        moment += 1

        async def append(number: int = moment) -> None:
            await append_lines(path, [numbered(number)])
            acknowledged.append(number)

        with anyio.CancelScope() as scope:
            _, reached = await cancelled_at(moment, scope.cancel, append())
        if scope.cancelled_caught:
            reached = True
        assert moment < 100
    found = numbers(path)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found) <= set(range(moment + 1))
    assert open_handles() == handles
    assert not [each for each in path.parent.iterdir() if each.suffix in (".tmp", ".old")]


async def test_a_cancelled_waiter_steps_aside_and_the_others_go_on(path: Path) -> None:
    for _ in range(20):
        async with anyio.create_task_group() as tasks:
            scopes = [anyio.CancelScope() for _ in range(6)]

            async def append(number: int, scope: anyio.CancelScope) -> None:
                with scope:
                    await append_lines(path, [numbered(number)])

            for number, scope in enumerate(scopes):
                tasks.start_soon(append, number, scope)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            for scope in scopes[1:4]:
                scope.cancel()
        with anyio.fail_after(30):
            await append_lines(path, [numbered(9)])
    found = numbers(path)
    assert found.count(0) == found.count(4) == found.count(5) == found.count(9) == 20


async def test_what_somebody_else_appended_is_kept_and_healed(path: Path) -> None:
    for number in range(5):
        await append_lines(path, [numbered(number)])
    with path.open("ab") as other:
        other.write(numbered(5) + b"\n" + numbered(6))  # no last newline
    await append_lines(path, [numbered(7)])
    assert numbers(path) == list(range(8))
    with path.open("ab") as other:
        other.write(b'{"run_id": "ha')
    await append_lines(path, [numbered(8)])
    assert numbers(path) == list(range(9))
    (torn,) = path.parent.glob("r.jsonl.torn-*")
    assert torn.read_bytes() == b'{"run_id": "ha'


async def test_a_file_that_somebody_else_replaced_is_the_file(path: Path) -> None:
    for number in range(4):
        await append_lines(path, [numbered(number)])
    other = path.with_name("other")
    other.write_bytes(numbered(100) + b"\n")
    other.replace(path)
    await append_lines(path, [numbered(101)])
    path.unlink()
    await append_lines(path, [numbered(102)])
    assert numbers(path) == [102]


async def test_a_symbolic_link_stays_one_and_its_target_grows(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "real.jsonl"
    target.parent.mkdir()
    path.parent.mkdir()
    path.symlink_to(target)
    for number in range(4):
        await append_lines(path, [numbered(number)])
    assert path.is_symlink()
    assert numbers(target) == list(range(4))


async def test_a_hard_linked_backup_stays_as_it_was(path: Path) -> None:
    for number in range(4):
        await append_lines(path, [numbered(number)])
    backup = path.with_name("backup")
    os.link(path, backup)
    before = backup.read_bytes()
    for number in range(4, 10):
        await append_lines(path, [numbered(number)])
    assert backup.read_bytes() == before
    assert numbers(path) == list(range(10))


async def test_mode_and_owner_stay(path: Path) -> None:
    await append_lines(path, [numbered(0)])
    path.chmod(0o640)
    for number in range(1, 6):
        await append_lines(path, [numbered(number)])
    assert path.stat().st_mode & 0o777 == 0o640


async def test_a_damaged_state_costs_a_copy_and_no_line(path: Path) -> None:
    for number in range(5):
        await append_lines(path, [numbered(number)])
        lock = path.with_name(".r.jsonl.lock")
        lock.write_bytes(lock.read_bytes()[:-3] + b"xxx" if number % 2 else os.urandom(90))
    assert numbers(path) == list(range(5))


async def test_a_stuck_lock_holder_is_waited_for_no_longer_than_the_timeout(path: Path) -> None:
    await append_lines(path, [numbered(0)])
    with path.with_name(".r.jsonl.lock").open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        handles = open_handles()
        with pytest.raises(RecordError, match=r"another process has held its lock for 0\.05 s"):
            await append_lines(path, [numbered(1)], timeout=0.05)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(append_lines, path, [numbered(2)])
            await anyio.sleep(0.05)
            fcntl.flock(holder, fcntl.LOCK_UN)
    assert numbers(path) == [0, 2]
    assert handles >= open_handles()


async def test_a_line_that_comes_while_a_batch_is_committed_is_in_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_lines(path, [numbered(0)])
    committing, release = anyio.Event(), threading.Event()
    loop, sync = asyncio.get_running_loop(), system.sync

    def held(descriptor: int) -> None:
        loop.call_soon_threadsafe(committing.set)
        release.wait(60)
        sync(descriptor)

    monkeypatch.setattr(system, "sync", held)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(append_lines, path, [numbered(1)])
        await committing.wait()
        tasks.start_soon(append_lines, path, [numbered(2)])
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        release.set()
    assert numbers(path) == [0, 1, 2]


async def test_a_disk_that_hangs_is_given_up_and_nobody_knows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_lines(path, [numbered(0)])
    release = threading.Event()
    sync = system.sync
    with monkeypatch.context() as patch:
        patch.setattr(files, "DISK_DEADLINE", 0.1)
        patch.setattr(system, "sync", lambda descriptor: release.wait(60) and sync(descriptor))
        try:
            with anyio.fail_after(30), pytest.raises(RecordError, match="indeterminate: the disk"):
                await append_lines(path, [numbered(1)], timeout=0.1)
        finally:
            release.set()
    await append_lines(path, [numbered(2)])
    assert numbers(path) in ([0, 2], [0, 1, 2])


async def test_a_folder_in_the_way_and_a_missing_right_are_told(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(RecordError) as caught:
        await append_lines(path, [numbered(0)])
    assert str(path) in str(caught.value)
    assert "cannot append: " in str(caught.value)


async def test_lines_of_sixteen_megabytes_are_appended(path: Path) -> None:
    big = b'{"run_id": "run-1", "pad": "' + b"x" * 16_000_000 + b'"}'
    await append_lines(path, [numbered(0)])
    await append_lines(path, [big])
    await append_lines(path, [numbered(2)])
    assert numbers(path) == [0, 1, 2]


async def test_the_work_that_is_done_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Count the bytes instead of timing: after the first append no copy of the file is made."""
    path = tmp_path / "r.jsonl"
    path.write_bytes((numbered(0) + b"\n") * 10_000)
    copied = 0
    copy = system.copy

    def counting_copy(source: int, target: int, size: int) -> None:
        nonlocal copied
        copied += size
        copy(source, target, size)

    monkeypatch.setattr(system, "copy", counting_copy)
    for number in range(50):
        await append_lines(path, [numbered(number)])
        if number == 0:
            first = copied
    assert first > 500_000
    assert copied == first
    assert len(numbers(path)) == 10_050


class Full:
    """A file system of its own that is nearly full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Path | None:
        self.folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(self.folder)]
        self.mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
        return self.folder if self.mounted else None

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


async def test_a_full_disk_leaves_the_file_as_it_was_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a small tmpfs where this may mount one, else with a limit on the size of files."""
    monkeypatch.setattr(record_file, "SMALL", 1_000)
    with Full(tmp_path / "full") as mounted:
        if mounted is None:
            await _check_limited(tmp_path)
            return
        path = mounted / "r.jsonl"
        count, error = 0, None
        while error is None:
            before = path.read_bytes() if path.exists() else b""
            try:
                await append_lines(path, [numbered(count) + b" " * 2_000])
            except RecordError as caught:
                error = caught
            else:
                count += 1
        assert "No space left on device; free some space" in str(error)
        assert path.read_bytes() == before
        assert numbers(path) == list(range(count))
        assert count > 5
        await anyio.run_process(["mount", "-o", "remount,size=2m", str(mounted)])
        await append_lines(path, [numbered(count)])
        assert numbers(path) == list(range(count + 1))


async def _check_limited(folder: Path) -> None:
    code = (
        "import anyio, pathlib, resource, signal\n"
        "from stablenew.storage.record_appender import append_lines\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "async def main():\n"
        "    for _ in range(9):\n"
        "        await append_lines(pathlib.Path('r.jsonl'), [b'{\"run_id\": \"run-1\"}' * 40])\n"
        "anyio.run(main)\n"
    )
    done = await anyio.run_process([sys.executable, "-c", code], cwd=folder, check=False)
    assert b"File too large" in done.stderr
    assert (folder / "r.jsonl").read_bytes().endswith(b"}\n")


async def test_a_file_that_is_mounted_by_itself_cannot_be_replaced_and_says_so(
    tmp_path: Path,
) -> None:
    source, path = tmp_path / "source", tmp_path / "r.jsonl"
    source.write_bytes(numbered(0) + b"\n")
    path.touch()
    mount = await anyio.run_process(["mount", "--bind", str(source), str(path)], check=False)
    if mount.returncode:
        with pytest.raises(RecordError, match="busy"):  # the same by hand, where it may not mount
            await _append_busy(path)
        return
    try:
        with pytest.raises(RecordError, match="cannot append"):
            await append_lines(path, [numbered(1)])
        assert path.read_bytes() == numbered(0) + b"\n"
    finally:
        await anyio.run_process(["umount", str(path)])


async def _append_busy(path: Path) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system, "exchange", busy)
        await append_lines(path, [numbered(1)])


texts = st.text(max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(
    deadline=None,
    max_examples=rounds(30, 200),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(st.lists(st.dictionaries(texts, values, max_size=4), max_size=3)))
def test_any_text_and_any_number_come_back_as_they_went(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict[str, object]]]
) -> None:
    folder = tmp_path_factory.mktemp("records")
    records = [
        [
            LearningRecord(run_id=f"r{index}", metadata=metadata)
            for index, metadata in enumerate(batch)
        ]
        for batch in batches
    ]

    async def append() -> None:
        writer = LearningRecordWriter(folder)
        for batch in records:
            await writer.append_records(batch)

    anyio.run(append)
    lines = [line for _, line in read_lines(folder / "learning_records.jsonl")]
    expected = [record for batch in records for record in batch]
    assert [LearningRecord.from_json(line) for line in lines] == expected

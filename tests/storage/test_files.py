from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from stablenew.errors import ConfigError
from stablenew.learning.dataset_export import export_csv
from stablenew.storage import files, system
from tests.support import leftovers, open_handles


async def test_a_whole_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    await files.replace(path, b"one")
    await files.replace(path, b"two")
    assert await files.read(path) == b"two"
    assert leftovers(tmp_path) == []


async def test_a_reader_of_the_old_file_goes_on_reading_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    await files.replace(path, b"old")
    with path.open("rb") as reader:
        await files.replace(path, b"new, and longer")
        assert reader.read() == b"old"


async def test_a_file_is_created_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    await files.create(path, b"first")
    with pytest.raises(FileExistsError):
        await files.create(path, b"second")
    assert path.read_bytes() == b"first"
    assert path.stat().st_nlink == 1
    assert leftovers(tmp_path) == []


async def test_without_links_a_file_is_still_created_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.png"
    await files.create(path, b"first")
    with pytest.raises(FileExistsError):
        await files.create(path, b"second")
    assert path.read_bytes() == b"first"
    assert leftovers(tmp_path) == []


async def test_appending_adds_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    await files.append(path, b"one\n", durable=True)
    await files.append(path, b"two\n", durable=False)
    assert path.read_bytes() == b"one\ntwo\n"


async def test_what_is_no_ordinary_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not an ordinary file"):
        await files.replace(tmp_path / "pipe", b"x")
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(ConfigError, match="is a device, expected an ordinary file"):
        export_csv(tmp_path, tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


async def test_a_torn_last_line_is_moved_aside_and_never_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": 2')
    await files.append(path, b'{"c": 3}\n', durable=True)
    assert path.read_bytes() == b'{"a": 1}\n{"c": 3}\n'
    (torn,) = tmp_path.glob("events.jsonl.torn-*")
    assert torn.read_bytes() == b'{"b": 2'
    assert leftovers(tmp_path) == []


async def test_a_whole_last_line_without_its_newline_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a": 1}')
    await files.append(path, b'{"b": 2}\n', durable=False)
    assert path.read_bytes() == b'{"a": 1}\n{"b": 2}\n'
    assert list(tmp_path.iterdir()) == [path]


async def test_an_append_that_fails_half_way_is_cut_off_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    await files.append(path, b"whole line\n", durable=True)
    code = (
        "import anyio, resource, signal, pathlib\n"
        "from stablenew.storage import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "async def main():\n"
        "    await files.append(pathlib.Path('a.jsonl'), b'x' * 5000, durable=True)\n"
        "anyio.run(main)\n"
    )
    done = await anyio.run_process([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert b"File too large" in done.stderr
    assert path.read_bytes() == b"whole line\n"


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
async def test_a_disk_that_says_no_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "a.json"
    await files.replace(path, b"before")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    handles = open_handles()
    with pytest.raises(OSError, match=rf"{os.strerror(code)}: '{path}'$"):
        await files.replace(path, b"after")
    assert path.read_bytes() == b"before"
    assert leftovers(tmp_path) == []
    assert open_handles() == handles


async def test_the_data_and_the_folder_are_forced_to_disk_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        calls.append("folder" if os.fstat(descriptor).st_mode & 0o040000 else "file")
        fsync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    await files.replace(tmp_path / "a", b"data")
    assert calls == ["file", "rename", "folder"]


async def test_cancelling_at_any_moment_leaves_no_temporary_file_and_no_handle(
    tmp_path: Path,
) -> None:
    await files.replace(tmp_path / "warm", b"up")
    handles = open_handles()
    for moment in range(60):
        with anyio.move_on_after(moment * 0.0001):
            await files.replace(tmp_path / "a", b"x" * 10_000)
            await files.append(tmp_path / "b", b"x" * 100, durable=True)
            await files.create(tmp_path / f"c{moment}", b"x")
    assert leftovers(tmp_path) == []
    assert open_handles() == handles
    assert len((tmp_path / "a").read_bytes()) == 10_000
    assert len((tmp_path / "b").read_bytes()) % 100 == 0


async def test_a_disk_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(files, "DISK_DEADLINE", 0.1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: release.wait(60))
    try:
        with anyio.fail_after(30), pytest.raises(TimeoutError):
            await files.replace(tmp_path / "a", b"x")
    finally:
        release.set()


async def test_asyncios_own_cancel_lets_a_write_finish_and_is_raised_next(tmp_path: Path) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    await files.replace(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    with pytest.raises(asyncio.CancelledError):
        await anyio.lowlevel.checkpoint()
    task.uncancel()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0001):
            for number in range(200):
                await files.create(tmp_path / f"{number}", b"whole")
    assert leftovers(tmp_path) == []
    assert task.cancelling() == 0


async def test_everything_is_written_before_it_is_forced_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            sizes.append(found.st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    await files.replace(tmp_path / "a", b"x" * 100)
    await files.create(tmp_path / "b", b"x" * 200)
    await files.append(tmp_path / "c", b"x" * 300, durable=True)
    assert sizes == [100, 200, 300]


async def test_a_new_file_is_forced_to_disk_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(system, "link", _noting(calls, "link", system.link))
    monkeypatch.setattr(system, "sync_folder", _noting(calls, "folder", system.sync_folder))
    await files.create(tmp_path / "a", b"x")
    assert calls == ["link", "folder"]


def _noting(calls: list[str], name: str, call: Callable[..., None]) -> Callable[..., None]:
    def noting(*arguments: object) -> None:
        calls.append(name)
        call(*arguments)

    return noting

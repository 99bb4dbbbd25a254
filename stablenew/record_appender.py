"""Appends to record files: concurrent appends are committed together, one leader at a time."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio
import attrs
from anyio.lowlevel import RunVar

from stablenew import _files
from stablenew._lock import try_lock, wait_for_lock
from stablenew.errors import RecordError
from stablenew.record_file import ChangedError, Commit

T = TypeVar("T")

LOCK_TIMEOUT = 30.0
"""Seconds to wait for another process that holds the lock."""

_TRIES = 10
_ADVICE = {
    errno.ENOSPC: "free some space and append again",
    errno.EDQUOT: "free some space and append again",
    errno.EACCES: "make the file and its folder writable",
    errno.EPERM: "make the file and its folder writable",
    errno.EROFS: "choose a folder that can be written to",
    errno.EBUSY: "append when nothing else mounts the file or keeps writing to it",
    errno.ETIMEDOUT: "end the process that holds its lock, or append later",
}


async def append_lines(
    path: Path, lines: Sequence[bytes], *, timeout: float = LOCK_TIMEOUT
) -> None:
    """Append lines, all or none; when this returns they are on disk.

    Args:
        path: The file; it and its folder are made if missing, a symbolic link is followed.
        lines: Without their newlines.
        timeout: Seconds to wait for another process that is appending.

    Raises:
        RecordError: The lines are not in the file, which is as it was; or, where the error says
            `indeterminate`, nobody knows.
    """
    if not lines:
        return
    if any(b"\n" in line for line in lines):
        raise RecordError("a line has a newline in it; expected one line each", path=path)
    await _appender(path).append(b"".join(line + b"\n" for line in lines), timeout)


@attrs.define(eq=False)
class _Entry:
    """What one caller wants appended, and what became of it."""

    data: bytes
    woken: anyio.Event = attrs.field(factory=anyio.Event)
    leads: bool = False
    done: bool = False
    error: OSError | None = None


class _Appender:
    """The queue of one file in one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: list[_Entry] = []
        self._busy = False

    async def append(self, data: bytes, timeout: float) -> None:
        entry = _Entry(data)
        self._queue.append(entry)
        if self._busy:
            await self._wait(entry)
        if not entry.done:
            await self._lead(timeout)
        if entry.error is not None:
            raise _record_error(self._path, entry.error) from entry.error

    async def _wait(self, entry: _Entry) -> None:
        """Wait until the entry is written, or is to lead; one that is cancelled steps aside."""
        try:
            await entry.woken.wait()
        except BaseException:
            if entry in self._queue:
                self._queue.remove(entry)
                if entry.leads:
                    self._hand_over()
            raise

    async def _lead(self, timeout: float) -> None:
        """Write everything that is queued, for all; then let the next one lead."""
        self._busy = True
        batch: list[_Entry] = []
        error: OSError | None = None

        async def work() -> None:
            nonlocal batch, error
            batch, self._queue = self._queue, []  # by now all that woke together have queued
            data = b"".join(entry.data for entry in batch)
            try:
                with anyio.fail_after(timeout + _files.DISK_DEADLINE, shield=True):
                    await self._write(data, timeout)
            except OSError as problem:
                error = problem

        try:
            # A task of its own: asyncio's Task.cancel does not know of shields.
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)
        finally:
            for entry in batch:
                entry.done, entry.error = True, error
                entry.woken.set()
            self._hand_over()

    def _hand_over(self) -> None:
        self._busy = bool(self._queue)
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].woken.set()

    async def _write(self, data: bytes, timeout: float) -> None:
        for _ in range(_TRIES):
            try:
                await self._commit(data, timeout)
            except ChangedError:
                continue
            return
        raise OSError(errno.EBUSY, "somebody else keeps writing to it")

    async def _commit(self, data: bytes, timeout: float) -> None:
        commit, locked = await _in_thread(lambda: _start(self._path, data))
        if not locked:
            await wait_for_lock(commit.lock, timeout)
            await _in_thread(lambda: commit.start(data))
        try:
            await _files.write_through(commit.descriptor, commit.pending)
        except Exception:
            await _in_thread(commit.give_up)
            raise
        await _in_thread(commit.finish)


def _start(path: Path, data: bytes) -> tuple[Commit, bool]:
    """Begin a commit if the lock is free; in one thread call, as is each half of a commit."""
    real = Path(os.path.realpath(path))
    lock, locked = try_lock(real.with_name(f".{real.name}.lock"))
    commit = Commit(path=real, lock=lock)
    if locked:
        commit.start(data)
    return commit, locked


async def _in_thread(call: Callable[[], T]) -> T:
    """Run in a thread; shielded by the leader, whose deadline alone abandons it."""
    return await asyncio.get_running_loop().run_in_executor(None, call)


def _appender(path: Path) -> _Appender:
    """Return the appender that all tasks of this event loop share for a file."""
    try:
        known = _appenders.get()
    except LookupError:
        known = WeakValueDictionary()
        _appenders.set(known)
    key = os.path.abspath(path)  # noqa: PTH100  # several times quicker, and this is for each line
    found = known.get(key)
    if found is None:
        found = known[key] = _Appender(path)
    return found


def _record_error(path: Path, error: OSError) -> RecordError:
    cause = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0)
    return RecordError(f"cannot append: {cause}" + (f"; {advice}" if advice else ""), path=path)


_appenders: RunVar[WeakValueDictionary[str, _Appender]] = RunVar("_appenders")

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
from anyio.lowlevel import RunVar, checkpoint

from stablenew._cancelling import in_own_task
from stablenew.errors import RecordError
from stablenew.storage import files
from stablenew.storage.lock import try_lock, wait_for_lock
from stablenew.storage.record_file import Commit
from stablenew.storage.record_state import ChangedError

T = TypeVar("T")

LOCK_TIMEOUT = 30.0
"""Seconds to wait for another process that holds the lock."""

_TRIES = 10
_LARGE = 256 * 1024
_ROUNDS = 3
"""Rounds of the loop that a batch gathers for: as many as the last leader takes to come back."""

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
    large = sum(map(len, lines)) > _LARGE  # then even a look at it is for another thread
    if await _in_executor(lambda: _has_newline(lines)) if large else _has_newline(lines):
        raise RecordError("a line has a newline in it; expected one line each", path=path)
    await _appender(path).append(lines, timeout)


def _has_newline(lines: Sequence[bytes]) -> bool:
    return any(b"\n" in line for line in lines)


@attrs.define(eq=False)
class _Batch:
    """What is committed together, and what became of it."""

    lines: list[bytes]
    done: anyio.Event = attrs.field(factory=anyio.Event)
    error: OSError | None = None


class _Appender:
    """One file in one event loop: while a batch is committed, the next one gathers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = anyio.Lock(fast_acquire=True)
        self._gathering: _Batch | None = None

    async def append(self, lines: Sequence[bytes], timeout: float) -> None:
        """Have lines committed; whoever begins a batch leads it, and the others wait."""
        batch = self._gathering
        if batch is None:
            batch = self._gathering = _Batch([*lines])
            deadline = timeout + files.DISK_DEADLINE
            await in_own_task(self._lead(batch, deadline, timeout), deadline + 1)
        else:
            batch.lines.extend(lines)
            await batch.done.wait()
        if batch.error is not None:
            raise _record_error(self._path, batch.error) from batch.error

    async def _lead(self, batch: _Batch, deadline: float, timeout: float) -> None:
        """Commit a batch once it is its turn, whatever is cancelled: others depend on it."""
        try:
            with anyio.fail_after(deadline, shield=True):
                async with self._turn:
                    for _ in range(_ROUNDS):
                        await checkpoint()
                    self._gathering = None
                    await self._write(batch.lines, timeout)
        except OSError as error:
            batch.error = error
        finally:
            if self._gathering is batch:
                self._gathering = None
            batch.done.set()

    async def _write(self, lines: list[bytes], timeout: float) -> None:
        for _ in range(_TRIES):
            try:
                await self._commit(lines, timeout)
            except ChangedError:
                continue
            return
        raise OSError(errno.EBUSY, "somebody else keeps writing to it")

    async def _commit(self, lines: list[bytes], timeout: float) -> None:
        commit, locked = await _in_executor(lambda: _start(self._path, lines))
        if not locked:
            await wait_for_lock(commit.lock, timeout)
            await _in_executor(lambda: commit.start(_pieces(lines)))
        try:
            await files.write_through(commit.descriptor, commit.pending)
        except Exception:
            await _in_executor(commit.give_up)
            raise
        await _in_executor(commit.finish)


def _start(path: Path, lines: list[bytes]) -> tuple[Commit, bool]:
    """Begin a commit if the lock is free; in one thread call, as is each half of a commit."""
    real = Path(os.path.realpath(path))
    lock, locked = try_lock(real.with_name(f".{real.name}.lock"))
    commit = Commit(path=real, lock=lock)
    if locked:
        commit.start(_pieces(lines))
    return commit, locked


def _pieces(lines: list[bytes]) -> list[bytes]:
    """Return what to write: one piece, or many where joining them would hold up the loop."""
    if sum(map(len, lines)) <= _LARGE:
        return [b"\n".join([*lines, b""])]
    return [piece for line in lines for piece in (line, b"\n")]


async def _in_executor(call: Callable[[], T]) -> T:
    """Run in a thread; shielded by the leader, whose deadline alone abandons it."""
    return await asyncio.get_running_loop().run_in_executor(None, call)


def _appender(path: Path) -> _Appender:
    """Return the appender that all tasks of this event loop share for a file."""
    try:
        appenders = _appenders.get()
    except LookupError:
        appenders = WeakValueDictionary()
        _appenders.set(appenders)
    key = str(path if path.is_absolute() else path.absolute())
    found = appenders.get(key)
    if found is None:
        found = appenders[key] = _Appender(path)
    return found


def _record_error(path: Path, error: OSError) -> RecordError:
    # A deadline's error says nothing; what the abandoned thread still does nobody knows.
    cause = error.strerror or str(error) or "indeterminate: the disk did not answer in time"
    advice = _ADVICE.get(error.errno or 0)
    return RecordError(f"cannot append: {cause}" + (f"; {advice}" if advice else ""), path=path)


_appenders: RunVar[WeakValueDictionary[str, _Appender]] = RunVar("_appenders")

"""One append, system call by system call: each can fail before it, after it, or be the last.

The append is driven here without threads, so that a moment is a number.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from stablenew.storage import record_file, system
from stablenew.storage.lock import try_lock
from stablenew.storage.record_file import Commit
from stablenew.storage.record_state import ChangedError

SMALL = 64
LINE = b'{"run_id": "%s", "pad": "................................"}\n'
KILLED = 77

CALLS = (
    "close",
    "copy",
    "create",
    "exchange",
    "lease",
    "link",
    "lock",
    "mirror",
    "open_lock",
    "open_spare",
    "read",
    "release",
    "rename",
    "stat",
    "stat_open",
    "sync",
    "sync_folder",
    "truncate",
    "unlink",
    "write",
    "write_new",
    "write_state",
)


def line(name: str) -> bytes:
    return LINE % name.encode()


def write(descriptor: int, data: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_END)
    while data:
        data = data[os.write(descriptor, data) :]


def append(path: Path, data: bytes) -> None:
    """Append as `record_appender` does, in this thread."""
    for _ in range(5):
        lock, locked = _system_call("lock_file")(path)
        assert locked
        commit = Commit(path=path, lock=lock)
        try:
            commit.start([data])
            try:
                _system_call("write")(commit.descriptor, b"".join(commit.pending))
            except OSError:
                commit.give_up()
                raise
            commit.finish()
        except ChangedError:
            continue
        return
    raise OSError(errno.EBUSY, "changed all the time")


def _lock_file(path: Path) -> tuple[int, bool]:
    return try_lock(path.with_name(f".{path.name}.lock"))


_extra: dict[str, Callable[..., Any]] = {"write": write, "lock_file": _lock_file}


def _system_call(name: str) -> Callable[..., Any]:
    return _extra[name]


@attrs.define(eq=False)
class Fault:
    """What happens at one call: nothing, an error, or the end of the process.

    Attributes:
        moment: The number of the call, from 1; 0 for none.
        how: `before`, `after`, `half`, `kill before`, `kill after`, `kill half`.
        code: The error.
    """

    moment: int = 0
    how: str = ""
    code: int = errno.EIO
    calls: list[str] = attrs.field(factory=list)

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) != self.moment:
                return call(*arguments, **options)
            if "half" in self.how and name == "write_new":
                arguments[0].write_bytes(arguments[1][: len(arguments[1]) // 2])
            elif "half" in self.how and name == "write":
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            elif "after" in self.how or name == "close":  # a close that fails has closed
                result = call(*arguments, **options)
                if name in ("create", "open_lock", "open_spare"):
                    os.close(result)  # nobody will ever know this descriptor
            if "kill" in self.how:
                os._exit(KILLED)
            raise OSError(self.code, os.strerror(self.code))

        faulty.__name__ = name
        return faulty


@contextmanager
def faulty(fault: Fault) -> Iterator[None]:
    """Have every system call of an append go through a fault."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            if name == "write":
                patch.setitem(_extra, "write", fault.wrap(name, write))
            else:
                patch.setattr(system, name, fault.wrap(name, getattr(system, name)))
        yield


def refuse(code: int) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


ROADS: dict[str, dict[str, Callable[..., Any]]] = {
    "exchange": {},
    "link": {"exchange": refuse(errno.ENOSYS)},
    "replace": {"exchange": refuse(errno.EINVAL), "link": refuse(errno.EPERM)},
    "no leases": {"lease": refuse(errno.EINVAL)},
}


@contextmanager
def on_road(road: str) -> Iterator[None]:
    """Take away what a platform or file system may not have, and make small files large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_file, "SMALL", SMALL)
        for name, call in ROADS[road].items():
            patch.setattr(system, name, call)
        yield


def first(path: Path) -> bytes:
    return b""


def small(path: Path) -> bytes:
    append(path, line("a"))
    return line("a")


def adopted(path: Path) -> bytes:
    before = line("a") * 5
    path.write_bytes(before)
    return before


def spare(path: Path) -> bytes:
    before = adopted(path)
    for name in "bcd":
        append(path, line(name))
        before += line(name)
    return before


def read_by_somebody(path: Path) -> bytes:
    """Both spares are open somewhere, so that none can be written to."""
    before = spare(path)
    for name in "ef":
        _readers.append(path.open("rb"))
        append(path, line(name))
        before += line(name)
    _readers.append(path.open("rb"))
    return before


def without_newline(path: Path) -> bytes:
    before = spare(path) + line("x")[:-1]
    path.write_bytes(before)
    return before + b"\n"


def torn(path: Path) -> bytes:
    before = spare(path)
    path.write_bytes(before + b'{"run_id": "half')
    return before


SCENES = (first, small, adopted, spare, read_by_somebody, without_newline, torn)
_readers: list[Any] = []


def close_readers() -> None:
    while _readers:
        _readers.pop().close()


def in_child(call: Callable[[], None]) -> int:
    """Run something in a fork of this process and return its exit status."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking beside idle threads
        child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            call()
            status = 0
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

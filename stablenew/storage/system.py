"""The system calls that a record file is made of, one function each, with the reason for it.

Everything here blocks and is called in a worker thread. What only Linux has raises `OSError` with
`ENOSYS` elsewhere; whoever calls it has another road.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import attrs

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

SPARES = sys.platform.startswith("linux")
"""Whether spares are of use: they take leases."""

NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
"""What `link` fails with where a file system has no second names."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_FICLONE = 0x40049409
_COPY_CHUNK = 1 << 24
_WINDOWS_TRIES = 50


@attrs.frozen
class Stat:
    """What tells one state of a file from another."""

    inode: int
    size: int
    mtime_ns: int
    links: int
    mode: int
    owner: tuple[int, int]

    @property
    def identity(self) -> tuple[int, int, int]:
        """Which file it is and whether it was written to since."""
        return self.inode, self.size, self.mtime_ns


def _unsupported(what: str) -> OSError:
    return OSError(errno.ENOSYS, f"no {what} on this platform")


def _stat(result: os.stat_result) -> Stat:
    return Stat(
        inode=result.st_ino,
        size=result.st_size,
        mtime_ns=result.st_mtime_ns,
        links=result.st_nlink,
        mode=result.st_mode & 0o7777,
        owner=(result.st_uid, result.st_gid),
    )


def stat(path: Path) -> Stat | None:
    """Return what is at `path` itself, None for nothing."""
    try:
        return _stat(path.lstat())
    except FileNotFoundError:
        return None


def stat_open(descriptor: int) -> Stat:
    """Return what an open file is."""
    return _stat(os.fstat(descriptor))


def open_lock(path: Path) -> int:
    """Open the lock file, making it if missing; it is never deleted, so its lock never forks."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o666)


def lock(descriptor: int, *, wait: bool) -> bool:
    """Take the kernel's lock, which dies with its holder; False if not waiting and it is taken."""
    if sys.platform == "win32":
        return _lock_windows(descriptor, wait=wait)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _lock_windows(descriptor: int, *, wait: bool) -> bool:
    import msvcrt

    mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]  # Windows
    os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a byte beyond the state, which stays readable
    try:
        msvcrt.locking(descriptor, mode, 1)  # type: ignore[attr-defined]  # Windows
    except OSError:
        return False
    return True


def create(path: Path) -> int:
    """Create a file that is not there; without O_APPEND, which would forbid cloning into it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def write_new(path: Path, data: bytes) -> None:
    """Make a file with some content, on disk when this returns."""
    descriptor = create(path)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        sync(descriptor)
    finally:
        os.close(descriptor)


def open_spare(path: Path) -> int:
    """Open a spare to append to; a symbolic link in its place is refused."""
    return os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))


def lease(descriptor: int) -> bool:
    """Take a write lease: granted only if nobody else has the file open, False if somebody has.

    Who opens it later waits until `release`. Without it a reader that still has the displaced file
    open could see it grow by half a line.
    """
    if not sys.platform.startswith("linux"):
        raise _unsupported("leases")
    try:
        # The default signal of a broken lease kills the process; SIGURG is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        return False
    return True


def release(descriptor: int) -> None:
    """Give a lease back, so that nobody waits for the file."""
    if sys.platform.startswith("linux"):
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def truncate(descriptor: int, size: int) -> None:
    """Cut an open file to `size`."""
    os.ftruncate(descriptor, size)


def mirror(descriptor: int, like: Stat) -> None:
    """Give an open file the mode and owner of another."""
    own = stat_open(descriptor)
    if os.name == "posix" and own.owner != like.owner:
        os.fchown(descriptor, *like.owner)
    if os.name == "posix" and own.mode != like.mode:
        os.fchmod(descriptor, like.mode)


def copy(source: int, target: int, size: int) -> None:
    """Copy the first `size` bytes to an empty file: by reference where the file system can."""
    if sys.platform.startswith("linux"):
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            pass
        else:
            os.ftruncate(target, size)
            return
    os.lseek(source, 0, os.SEEK_SET)
    while size:
        piece = memoryview(os.read(source, min(_COPY_CHUNK, size)))
        if not piece:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        size -= len(piece)
        while piece:
            piece = piece[os.write(target, piece) :]


def read(descriptor: int, size: int, offset: int) -> bytes:
    """Read `size` bytes at `offset`, fewer only at the end of the file."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    pieces = []
    while size > 0 and (piece := os.read(descriptor, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def sync(descriptor: int) -> None:
    """Force an open file to disk."""
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Force a folder to disk: without it three of four power cuts lose the rename."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> None:
    """Swap two files' names in one step, so that at each moment one of them is in place."""
    if not sys.platform.startswith("linux"):
        raise _unsupported("exchange of names")
    if _renameat2()(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(one), None, str(other))


@cache
def _renameat2() -> Callable[..., int]:
    """Return the C library's call, which Python has no name for."""
    call: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
    return call


def link(existing: Path, new: Path) -> None:
    """Give a file a second name; fails if that name is taken."""
    os.link(existing, new)


def rename(one: Path, other: Path) -> None:
    """Put a file in the place of another; on Windows a reader may hold that up for a moment."""
    tries = _WINDOWS_TRIES if os.name == "nt" else 1
    for left in reversed(range(tries)):
        try:
            one.replace(other)
        except PermissionError:
            if not left:
                raise
            import time

            time.sleep(0.01)
        else:
            return


def unlink(path: Path) -> None:
    """Remove a file that may be gone already."""
    path.unlink(missing_ok=True)


def write_state(descriptor: int, state: bytes) -> None:
    """Write the state over the old one; it is not forced to disk, a lost one costs a copy."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, state)
    os.ftruncate(descriptor, len(state))


def close(descriptor: int) -> None:
    """Close a file; its lock goes with it."""
    os.close(descriptor)


def quietly(call: Callable[..., object], *arguments: object) -> None:
    """Do what is good to have done, where not having done it costs a copy and no record."""
    try:
        call(*arguments)
    except OSError as error:
        logger.debug("%s: %s", getattr(call, "__name__", call), error)

"""Files, written so that nobody ever sees half of one: the only home of aiofiles.

A whole file appears by a temporary file in the same folder, fsync, and a rename (or a link
where an earlier file must stay). Each operation is shielded, because aiofiles is not
cancellable: it leaves temporary files and open handles behind. The shield has a deadline.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import aiofiles
import anyio
import anyio.to_thread
from aiofiles.threadpool.binary import AsyncFileIO

DISK_DEADLINE = 60.0
"""Seconds after which a file operation that hangs is given up."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES}


async def replace(path: Path, data: bytes) -> None:
    """Make `data` the whole content of `path`, durably; readers see the old file or the new.

    Raises:
        OSError: The disk said no; `path` is as it was.
    """
    await _publish(path, data, _rename_over)


async def create(path: Path, data: bytes) -> None:
    """Write `data` to `path`, durably, unless there is a file already.

    Raises:
        FileExistsError: There is one; it is as it was.
        OSError: The disk said no; there is nothing at `path`.
    """
    await _publish(path, data, _link_beside)


async def append(path: Path, data: bytes, *, durable: bool) -> None:
    """Add `data` to the end of `path`, an ordinary append for a file with one writer.

    Args:
        path: The file; made if missing.
        data: What to add.
        durable: Whether to wait until the disk has it.

    Raises:
        OSError: The disk said no; what was written of `data` is cut off again.
    """
    with anyio.fail_after(DISK_DEADLINE, shield=True):
        async with aiofiles.open(path, "ab", buffering=0) as file:
            size = await file.tell()
            try:
                await _write_all(file, data)
            except OSError:
                await file.truncate(size)
                raise
            if durable:
                await anyio.to_thread.run_sync(os.fsync, file.fileno())


async def read(path: Path) -> bytes:
    """Return what is in `path`."""
    with anyio.fail_after(DISK_DEADLINE, shield=True):
        async with aiofiles.open(path, "rb") as file:
            return await file.read()


async def make_folder(path: Path) -> None:
    """Make a folder and those above it; one that is there is fine."""
    with anyio.fail_after(DISK_DEADLINE, shield=True):
        await anyio.to_thread.run_sync(lambda: path.mkdir(parents=True, exist_ok=True))


async def _publish(path: Path, data: bytes, publish: Callable[[Path, Path], None]) -> None:
    temp = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with anyio.fail_after(DISK_DEADLINE, shield=True):
        try:
            async with aiofiles.open(temp, "xb", buffering=0) as file:
                await _write_all(file, data)
                await anyio.to_thread.run_sync(os.fsync, file.fileno())
            await anyio.to_thread.run_sync(publish, temp, path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise


async def _write_all(file: AsyncFileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:  # an unbuffered write may take only a part
        view = view[await file.write(view) :]


def _rename_over(temp: Path, path: Path) -> None:
    temp.replace(path)
    _sync_folder(path.parent)


def _link_beside(temp: Path, path: Path) -> None:
    try:
        os.link(temp, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():  # a file system without links: the gap between the two is the best it has
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        temp.replace(path)
    else:
        temp.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

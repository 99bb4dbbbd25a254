"""Files, written so that nobody ever sees half of one: the only home of aiofiles.

A whole file appears by a temporary file in the same folder, fsync, and a rename (or a link where an
earlier file must stay), in one go in a worker thread. Records are written through aiofiles, which
is not cancellable: it leaves temporary files and open handles behind. So every operation is
shielded, with a deadline after which a disk that hangs is given up.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import anyio
from aiofiles.threadpool import wrap

from stablenew._cancelling import cancel_again
from stablenew.storage import system
from stablenew.storage.record_tail import healed

T = TypeVar("T")

DISK_DEADLINE = 60.0
"""Seconds after which a file operation that hangs is given up."""

_JOINED = 1024 * 1024


async def replace(path: Path, data: bytes) -> None:
    """Make `data` the whole content of `path`, durably; readers see the old file or the new.

    Raises:
        OSError: The disk said no; `path` is as it was.
    """
    await in_thread(lambda: write_whole(path, data), finishing=True)


async def create(path: Path, data: bytes) -> None:
    """Write `data` to `path`, durably, unless there is a file already; its folder is made.

    Raises:
        FileExistsError: There is one; it is as it was.
        OSError: The disk said no; there is nothing at `path`.
    """
    await in_thread(lambda: create_whole(path, data))


async def append(path: Path, data: bytes, *, durable: bool) -> None:
    """Add `data` to the end of `path`, an ordinary append for a file with one writer.

    Args:
        path: The file; made if missing.
        data: What to add.
        durable: Whether to wait until the disk has it.

    Raises:
        OSError: The disk said no; what was written of `data` is cut off again.
    """
    await in_thread(lambda: append_whole(path, data, durable))


async def write_through(descriptor: int, pieces: Sequence[bytes]) -> None:
    """Write pieces at the end of an open file, through aiofiles; small ones in one go.

    The caller shields this and closes the file.

    Raises:
        OSError: The disk said no; a part may be written.
    """
    file = wrap(io.FileIO(descriptor, "ab", closefd=False))
    small = sum(map(len, pieces)) <= _JOINED  # a large copy would hold up the loop
    for piece in [b"".join(pieces)] if small else pieces:
        view = memoryview(piece)
        while view:  # an unbuffered write may take only a part
            view = view[await file.write(view) :]


async def read(path: Path) -> bytes:
    """Return what is in `path`."""
    return await in_thread(path.read_bytes)


async def make_folder(path: Path) -> None:
    """Make a folder and those above it; one that is there is fine."""
    await in_thread(lambda: path.mkdir(parents=True, exist_ok=True))


async def in_thread(call: Callable[[], T], *, finishing: bool = False) -> T:
    """Run in a thread and wait for it whatever is cancelled; only the deadline gives it up.

    For what must not be left half-done.

    A scope's cancellation waits outside the shield. asyncio's own (`Task.cancel`, a timeout) does
    not know of shields: it is taken here and given again at the next checkpoint, so that what was
    done is also known to be done. What finishes something (`finishing`) is begun even then.
    """
    task = asyncio.current_task()
    cancelled = False
    with anyio.fail_after(DISK_DEADLINE, shield=True) as scope:
        if task is not None and task.cancelling() and not finishing:
            await asyncio.sleep(0)  # one that was given again is not put off for ever
        work = asyncio.get_running_loop().run_in_executor(None, call)
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                if scope.cancel_called:
                    raise
                cancelled = True
    if cancelled:
        cancel_again()
    return work.result()


def clear_temporaries(folder: Path) -> None:
    """Remove what writers left in a folder that were killed; nobody else may write there. Blocks.

    Raises:
        OSError: The disk said no.
    """
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have an error say which file is meant: a write names none, a rename the temporary file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _temp_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def write_whole(
    path: Path, data: bytes, publish: Callable[[Path, Path], None] | None = None
) -> None:
    """Write a file by temporary file, fsync and rename; blocks, for a worker thread.

    Raises:
        OSError: The disk said no; what was at `path` is as it was.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a rename would take the place of a device
            raise OSError(errno.EEXIST, "not an ordinary file")
        temp = _temp_beside(path)
        try:
            with temp.open("xb") as file:
                file.write(data)
                file.flush()
                system.sync(file.fileno())
            (publish or _rename_over)(temp, path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise


def create_whole(path: Path, data: bytes) -> None:
    """Make a file that must not be there yet; blocks, for a worker thread.

    Raises:
        FileExistsError: There is one; it is as it was.
        OSError: The disk said no; there is nothing at `path`.
    """
    write_whole(path, data, _link_beside)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or make a copy where the file system has none; blocks.

    Raises:
        FileExistsError: There is something at `target`; it is as it was.
        OSError: The disk said no; there is nothing at `target`.
    """
    try:
        system.link(source, target)
    except OSError as error:
        if error.errno not in system.NO_LINKS:
            raise
        create_whole(target, source.read_bytes())
    else:
        system.sync_folder(target.parent)


def append_whole(path: Path, data: bytes, durable: bool) -> None:
    """Add whole lines to the end of a file, making it if missing; blocks, for a worker thread.

    A torn last line, as a power cut leaves one, is never glued to the next; see `healed`.

    Raises:
        OSError: The disk said no; what was written of `data` is cut off again.
    """
    with _naming(path), path.open("a+b", buffering=0) as file:
        size, before = healed(path, file.fileno(), file.seek(0, os.SEEK_END))
        try:
            view = memoryview(before + data)
            while view:  # an unbuffered write may take only a part
                view = view[file.write(view) :]
            if durable:
                system.sync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def _rename_over(temp: Path, path: Path) -> None:
    system.rename(temp, path)
    system.sync_folder(path.parent)


def _link_beside(temp: Path, path: Path) -> None:
    try:
        system.link(temp, path)
    except OSError as error:
        if error.errno not in system.NO_LINKS:
            raise
        if path.exists():  # a file system without links: the gap between the two is the best it has
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        system.rename(temp, path)
    else:
        system.unlink(temp)
    system.sync_folder(path.parent)

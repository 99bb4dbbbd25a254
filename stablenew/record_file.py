"""A file of JSON lines that is only ever replaced as a whole: a reader never sees half a line.

What is promised: whoever opens the file sees whole lines; an append that returned is on disk; one
that raised has changed nothing; a last line without its newline gets one and is never glued to the
next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

import anyio

from stablenew import _files
from stablenew.errors import RecordError

_locks: WeakValueDictionary[Path, anyio.Lock] = WeakValueDictionary()


async def append_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Append lines, all or none; when this returns they are on disk.

    Args:
        path: The file; its folder is made if missing.
        lines: Without their newlines.

    Raises:
        RecordError: The disk said no; the file is as it was.
    """
    if not lines:
        return
    async with _lock_for(path):
        try:
            await _files.extend(path, b"".join(line + b"\n" for line in lines))
        except OSError as error:
            raise RecordError(f"cannot append: {error.strerror or error}", path=path) from error


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, each with its number from 1."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.rstrip(b"\n")


def _lock_for(path: Path) -> anyio.Lock:
    """Return the lock that all appenders to one file share, whatever they call it."""
    return _locks.setdefault(path.resolve(), anyio.Lock())

"""Reading record files: whole lines, whatever else goes on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread
import msgspec

from stablenew._arguments import checked
from stablenew._names import checked_path
from stablenew.errors import RecordError
from stablenew.storage.disk_errors import disk_errors

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a line, or a file, raises that is no JSON: deep nesting and odd bytes included."""

_CHUNK = 1 << 20


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, blank ones left out, each with its number from 1.

    Reads what was there when the file was opened, in pieces; a file that is missing has no lines.

    Raises:
        RecordError: It is there, and cannot be read.
    """
    try:
        with disk_errors(path):
            yield from _lines(path)
    except RecordError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb", buffering=_CHUNK) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a device may have no end
            raise RecordError("cannot be read: not a file", path=path)
        left = file.seek(0, 2)
        file.seek(0)
        for number, line in enumerate(file, start=1):
            if left <= 0:
                return
            line = line[:left]
            left -= len(line)
            if line := line.strip():
                yield number, line


def read_piece(path: Path, offset: int) -> bytes:
    """Return whole lines from an offset on: as many as fit in a piece, one at least."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            piece = file.read(_CHUNK)
            while piece and b"\n" not in piece and (more := file.read(len(piece))):
                piece += more
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror or error}", path=path) from error
    return piece[: piece.rfind(b"\n") + 1]


class follow:  # noqa: N801  # used as a function: async for line, offset in follow(path)
    """The lines of a file as they come, each with the offset that follows it.

    `tail -f` goes blind when the file is replaced; offsets stay valid, for the new file begins with
    the old one. Ends when it is cancelled, or left.

    Args:
        path: The file; it may not be there yet.
        offset: Where to begin: 0, or an offset that this gave.
        interval: Seconds between two looks at the file.
    """

    def __init__(self, path: str | Path, offset: int = 0, *, interval: float = 0.2) -> None:
        self._path = checked_path("path", path)
        self._offset = checked("offset", offset, Integral)
        self._interval = checked("interval", interval, Real)
        self._lines: Iterator[tuple[bytes, int]] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[bytes, int]:
        while True:
            for line, offset in self._lines:
                self._offset = offset
                return line, offset
            piece = await anyio.to_thread.run_sync(
                read_piece, self._path, self._offset, abandon_on_cancel=True
            )
            self._lines = _split(piece, self._offset)
            if not piece:
                await anyio.sleep(self._interval)


def _split(piece: bytes, offset: int) -> Iterator[tuple[bytes, int]]:
    for line in piece.split(b"\n")[:-1]:
        offset += len(line) + 1
        yield line, offset

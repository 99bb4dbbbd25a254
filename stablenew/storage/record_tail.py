"""The end of a record file that somebody else wrote, or that was torn off."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import msgspec

from stablenew.storage import system
from stablenew.storage.record_reader import NOT_JSON

logger = logging.getLogger(__name__)

_CHUNK = 64 * 1024


def tail_of(descriptor: int, size: int) -> bytes:
    """Return what follows the last newline."""
    tail, end = b"", size
    while end > 0:
        start = max(0, end - _CHUNK)
        piece = system.read(descriptor, end - start, start)
        newline = piece.rfind(b"\n")
        tail, end = piece[newline + 1 :] + tail, start
        if newline >= 0:
            break
    return tail


def is_whole(line: bytes) -> bool:
    """Say whether a line without its newline is a whole record all the same."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except NOT_JSON:
        return False


def healed(path: Path, descriptor: int, size: int) -> tuple[int, bytes]:
    """See to the end of a file of lines before something is added to it.

    Args:
        path: The file.
        descriptor: The file, open to read and to write.
        size: Its size.

    Returns:
        The size without a torn end, which is now in a file of its own, and what has to be written
        first: a newline where a whole last line lacks its own.
    """
    if size == 0 or system.read(descriptor, 1, size - 1) == b"\n":
        return size, b""
    tail = tail_of(descriptor, size)
    if is_whole(tail):
        logger.warning("%s: its last line had no newline and got one", path)
        return size, b"\n"
    set_aside(path, path.with_name(f".{path.name}.torn.tmp"), tail)
    system.truncate(descriptor, size - len(tail))
    return size - len(tail), b""


def set_aside(path: Path, helper: Path, tail: bytes) -> None:
    """Keep a torn end in a file of its own, and say so.

    Args:
        path: The record file that it is the end of.
        helper: What the file is called while it is written.
        tail: The bytes.
    """
    torn = path.with_name(f"{path.name}.torn-{time.time_ns()}")
    system.write_new(helper, tail)
    system.rename(helper, torn)
    logger.warning("%s: %d torn bytes at its end are now in %s", path, len(tail), torn)

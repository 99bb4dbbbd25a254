"""The end of a record file that somebody else wrote, or that was torn off."""

from __future__ import annotations

import msgspec

from stablenew import _system

_CHUNK = 64 * 1024


def tail_of(descriptor: int, size: int) -> bytes:
    """Return what follows the last newline."""
    tail, end = b"", size
    while end > 0:
        start = max(0, end - _CHUNK)
        piece = _system.read(descriptor, end - start, start)
        newline = piece.rfind(b"\n")
        tail, end = piece[newline + 1 :] + tail, start
        if newline >= 0:
            break
    return tail


def is_whole(line: bytes) -> bool:
    """Say whether a line without its newline is a whole record all the same."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False

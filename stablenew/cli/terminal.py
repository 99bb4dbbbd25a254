"""A person at a terminal: single keys, and pictures drawn with coloured half blocks."""

from __future__ import annotations

import os
import select
import shutil
import sys
import threading
from pathlib import Path


def read_key() -> str:
    """Return the next key, in lower case; a whole line's first letter where there is no terminal.

    "" stands for the end of the input; Ctrl-C raises as always.
    """
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.strip().lower()[:1] or "s" if line else ""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        import msvcrt  # type: ignore[import-not-found,unused-ignore]

        return str(msvcrt.getwch()).lower()  # type: ignore[attr-defined,unused-ignore]
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    _left.clear()
    try:
        tty.setcbreak(handle, termios.TCSADRAIN)  # what was typed ahead counts
        while not select.select([handle], [], [], 0.1)[0]:
            if _left.is_set():
                return ""
        key = os.read(handle, 1).decode(errors="replace").lower()
        if key == "\x1b" and select.select([handle], [], [], 0.02)[0]:
            os.read(handle, 32)  # an arrow or the like, which is no Escape
            return "?"
        return key
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def leave_key() -> None:
    """Have a `read_key` in another thread give up and leave the terminal as it was."""
    _left.set()


_left = threading.Event()
_UPPER_HALF = "▀"


def can_draw() -> bool:
    """Return whether pictures can be drawn: a terminal that shows colours and has the letter."""
    try:
        _UPPER_HALF.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def draw(paths: list[Path], *, rows: int | None = None) -> str:
    """Return pictures side by side, as text for a terminal with 24-bit colours.

    Each letter is an upper half block: its colour is one pixel, its background the one below.

    Args:
        paths: Of the pictures; what cannot be read is left blank.
        rows: Lines of text at the most; what the terminal has, less a few, if not given.
    """
    columns, lines = shutil.get_terminal_size()
    rows = rows or max(8, lines - 6)
    width = max(8, (columns - 2 * len(paths)) // len(paths))
    blocks = [_blocks(path, width, rows) for path in paths]
    height = max(map(len, blocks))
    padded = [[*block, *[" " * width] * (height - len(block))] for block in blocks]
    return "\n".join("  ".join(line) for line in zip(*padded, strict=True))


def _blocks(path: Path, width: int, rows: int) -> list[str]:
    from PIL import Image, UnidentifiedImageError

    try:
        with path.open("rb") as file, Image.open(file) as opened:
            picture = opened.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return ["(cannot be read)".ljust(width)]
    scale = min(width / picture.width, 2 * rows / picture.height)
    size = max(1, round(picture.width * scale)), max(2, round(picture.height * scale) // 2 * 2)
    small = picture.resize(size)
    return [
        "".join(_block(small, x, y) for x in range(size[0])) + "\x1b[0m" + " " * (width - size[0])
        for y in range(0, size[1], 2)
    ]


def _block(picture: object, x: int, y: int) -> str:
    above, below = (picture.getpixel((x, each)) for each in (y, y + 1))  # type: ignore[attr-defined]
    colours = ";".join(map(str, above)), ";".join(map(str, below))
    return f"\x1b[38;2;{colours[0]}m\x1b[48;2;{colours[1]}m{_UPPER_HALF}"

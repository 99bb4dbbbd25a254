"""A font of a few letters, made here: no machine need have one that lacks what a test wants."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path


def write_font(path: Path, widths: Mapping[str, int]) -> Path:
    """Write a TrueType font that draws each of some letters as a bar of its width, of 1000.

    Every other letter is a box, as in any font.
    """
    letters = sorted(widths)
    glyphs = [_box(), *(_bar(widths[letter]) for letter in letters)]
    offsets = [sum(map(len, glyphs[:index])) for index in range(len(glyphs) + 1)]
    count = len(glyphs)
    tables = {
        b"cmap": _cmap(letters),
        b"glyf": b"".join(glyphs),
        b"head": struct.pack(
            ">IIIIHHqqhhhhHHhhh",
            *(0x10000, 0x10000, 0, 0x5F0F3CF5, 0, 1000, 0, 0),
            *(0, 0, 1000, 1000, 0, 8, 2, 1, 0),
        ),
        b"hhea": struct.pack(
            ">IhhhHhhhhhhhhhhhH", 0x10000, 800, -200, 0, 1000, *[0] * 3, 1, *[0] * 7, count
        ),
        b"hmtx": struct.pack(">HhHh", 1000, 0, 1000, 0) + struct.pack(">Hh", 1000, 0) * (count - 2),
        b"loca": struct.pack(f">{count + 1}I", *offsets),
        b"maxp": struct.pack(">IH13H", 0x10000, count, 8, 2, *[0] * 2, 2, *[0] * 8),
    }
    path.write_bytes(_file(tables))
    return path


def _rectangle(width: int, height: int, *, inner: bool = False) -> list[tuple[int, int]]:
    inset = 100 if inner else 0
    right, top = width - inset, height - inset
    corners = [(inset, inset), (inset, top), (right, top), (right, inset)]
    return corners[::-1] if inner else corners


def _box() -> bytes:
    return _glyph([_rectangle(900, 900), _rectangle(900, 900, inner=True)])


def _bar(width: int) -> bytes:
    return _glyph([_rectangle(width, 700)])


def _glyph(contours: list[list[tuple[int, int]]]) -> bytes:
    points = [point for contour in contours for point in contour]
    ends = [4 * number + 3 for number in range(len(contours))]
    right, top = (max(point[axis] for point in points) for axis in (0, 1))
    data = struct.pack(">hhhhh", len(contours), 0, 0, right, top)
    data += struct.pack(f">{len(ends)}HH", *ends, 0) + b"\1" * len(points)
    for axis in (0, 1):
        steps = [b[axis] - a[axis] for a, b in zip([(0, 0), *points], points, strict=False)]
        data += struct.pack(f">{len(steps)}h", *steps)
    return data + bytes(-len(data) % 4)


def _cmap(letters: list[str]) -> bytes:
    groups = b"".join(
        struct.pack(">III", ord(letter), ord(letter), index)
        for index, letter in enumerate(letters, start=1)
    )
    table = struct.pack(">HHIII", 12, 0, 16 + len(groups), 0, len(letters)) + groups
    return struct.pack(">HHHHI", 0, 1, 3, 10, 12) + table


def _file(tables: Mapping[bytes, bytes]) -> bytes:
    offset = 12 + 16 * len(tables)
    head, body = struct.pack(">IHHHH", 0x10000, len(tables), 64, 2, 16 * len(tables) - 64), b""
    for name, data in sorted(tables.items()):
        head += struct.pack(">4sIII", name, 0, offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return head + body

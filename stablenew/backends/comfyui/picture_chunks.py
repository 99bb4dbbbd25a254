"""What a PNG says of itself: its graph, and the parameters that other tools read. Pure.

ComfyUI writes the graph that it was sent into a picture, also what is there for its cache alone. In
its place goes the picture's own graph, so that the same settings give the same bytes, and beside it
the `parameters` of AUTOMATIC1111, which the server cannot write itself: it quotes them as JSON.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")

_MOST = 64 * 1024 * 1024
"""Bytes that a compressed text may have in full."""


def with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """Return a PNG with texts of these names in place of those that it has; others stay.

    What is no PNG is returned as it is.
    """
    if not png.startswith(SIGNATURE):
        return png
    pieces = [SIGNATURE]
    for kind, chunk in _chunks(png):
        name = chunk[8:].partition(b"\0")[0].decode("latin-1") if kind in _TEXTS else None
        if name not in texts:
            pieces.append(chunk)
        if kind == b"IHDR":
            pieces += [_text(name, text) for name, text in texts.items()]
    return b"".join(pieces)


def texts_of(png: bytes) -> dict[str, bytes]:
    """Return the texts of a PNG by name, in UTF-8, as far as they can be read."""
    texts: dict[str, bytes] = {}
    for kind, chunk in _chunks(png):
        if kind in _TEXTS:
            name, _, content = chunk[8:-4].partition(b"\0")
            with suppress(zlib.error, ValueError, IndexError):
                texts.setdefault(name.decode("latin-1"), _read_text(kind, content))
    return texts


def _read_text(kind: bytes, content: bytes) -> bytes:
    if kind != b"iTXt":
        text = content if kind == b"tEXt" else _inflated(content[1:])
        return text.decode("latin-1").encode()
    _language, _translated, text = content[2:].split(b"\0", 2)
    return _inflated(text) if content[0] else text


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(data, _MOST)
    if inflater.unconsumed_tail:
        raise ValueError("too large")
    return text


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = len(SIGNATURE)
    while start + 8 <= len(png):
        (length,) = struct.unpack_from(">I", png, start)
        end = start + length + 12
        yield png[start + 4 : start + 8], png[start:end]
        start = end


def _text(name: str, text: str) -> bytes:
    try:
        kind, data = b"tEXt", name.encode() + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        kind, data = b"iTXt", name.encode() + b"\0\0\0\0\0" + text.encode(errors="replace")
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

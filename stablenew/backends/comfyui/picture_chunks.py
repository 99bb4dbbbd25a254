"""What a PNG says of itself: its graph, and the parameters that other tools read. Pure.

ComfyUI writes the graph that it was sent into a picture, also what is there for its cache alone. In
its place goes the picture's own graph, so that the same settings give the same bytes, and beside it
the `parameters` of AUTOMATIC1111, which the server cannot write itself: it quotes them as JSON.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


def with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """Return a PNG with texts of these names in place of those that it has; others stay.

    What is no PNG is returned as it is.
    """
    if not png.startswith(_SIGNATURE):
        return png
    pieces = [_SIGNATURE]
    for kind, chunk in _chunks(png):
        name = chunk[8:].partition(b"\0")[0].decode("latin-1") if kind in _TEXTS else None
        if name not in texts:
            pieces.append(chunk)
        if kind == b"IHDR":
            pieces += [_text(name, text) for name, text in texts.items()]
    return b"".join(pieces)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = len(_SIGNATURE)
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

"""Pictures as a server makes them, without a model: noise that follows from the seed."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib

from PIL import Image


class NoPictureError(Exception):
    """What was sent cannot be read as a picture."""


def png(
    width: int, height: int, seed: int, text: dict[str, str], *, half_done: bool = False
) -> bytes:
    """Return a PNG; one that was interrupted is black."""
    row = 3 * width
    noise = bytes(row * height) if half_done else random.Random(seed).randbytes(row * height)
    rows = b"".join(b"\0" + noise[row * y : row * (y + 1)] for y in range(height))
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [_text(key, value) for key, value in text.items()]
    chunks += [_chunk(b"IDAT", zlib.compress(rows, 1)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def converted(data: bytes, kind: str, text: str) -> bytes:
    """Return a PNG as JPEG or WebP, with its infotext in EXIF's UserComment."""
    image = Image.open(io.BytesIO(data))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    out = io.BytesIO()
    image.save(out, kind, exif=exif, quality=80)
    return out.getvalue()


def enlarged(image: Image.Image, size: tuple[int, int]) -> bytes:
    """Return a picture enlarged with Lanczos, as a PNG."""
    out = io.BytesIO()
    image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(out, "PNG")
    return out.getvalue()


def opened(encoded: object) -> Image.Image:
    """Return a picture that came in base64."""
    try:
        raw = str(encoded).rpartition(",")[2]
        return Image.open(io.BytesIO(base64.b64decode(raw, validate=True)))
    except Exception as error:
        raise NoPictureError from error


def parameters(image: Image.Image) -> str:
    return str(image.info.get("parameters") or "")


def _text(key: str, value: str) -> bytes:
    try:
        return _chunk(b"tEXt", key.encode() + b"\0" + value.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + value.encode())


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

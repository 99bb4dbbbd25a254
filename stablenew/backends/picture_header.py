"""What an encoded picture says of itself: its format, its size, its infotext."""

from __future__ import annotations

import io
import sys
from collections.abc import Sized

import attrs

from stablenew.errors import BackendProtocolError

_QUICK = 1024 * 1024
"""Bytes up to which a header and its checksums take less (0.3 ms) than the way to another thread
and back, where the two wait for each other's lock."""


def is_quick(data: Sized) -> bool:
    """Return whether reading a picture's header, or what it came in, needs no thread.

    It does until what reads headers is loaded.
    """
    return len(data) <= _QUICK and "PIL.WebPImagePlugin" in sys.modules


@attrs.frozen(kw_only=True)
class PictureHeader:
    """What stands in a picture.

    Attributes:
        width: In pixels.
        height: In pixels.
        infotext: What it was made with, as the WebUI writes it; "" where it carries none.
    """

    width: int
    height: int
    infotext: str = ""


def read_picture_header(data: bytes) -> PictureHeader:
    """Read a picture's header, and the checksums of a PNG; decodes nothing, but blocks.

    Raises:
        BackendProtocolError: It is no whole PNG, no JPEG and no WebP.
    """
    from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    # Named, and so loaded: Pillow would load every format that it has to look for one of these.
    png, jpeg = PngImagePlugin.PngImageFile, JpegImagePlugin.JpegImageFile
    formats = [str(each.format) for each in (png, jpeg, WebPImagePlugin.WebPImageFile)]
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            size = image.size
            if image.format == "PNG":
                text = str(image.info.get("parameters") or "")
                image.verify()  # reads every checksum
            else:
                text = _user_comment(image.getexif().get_ifd(0x8769).get(0x9286))
    except Image.DecompressionBombError as error:
        raise BackendProtocolError(f"the picture is too large: {error}") from error
    except Exception as error:  # Pillow raises SyntaxError, OSError, struct.error and others
        message = f"the picture ({len(data):,} bytes) cannot be read as PNG, JPEG or WebP"
        raise BackendProtocolError(message) from error
    return PictureHeader(width=size[0], height=size[1], infotext=text)


def _user_comment(raw: object) -> str:
    """Return the text of EXIF's UserComment, which says its encoding in its first 8 bytes."""
    if not isinstance(raw, bytes):
        return str(raw or "")
    encoding = {b"UNICODE\0": "utf-16-be", b"ASCII\0\0\0": "ascii"}.get(raw[:8], "utf-8")
    return raw[8:].decode(encoding, errors="replace")

"""From a picture as people have them to one as backends take it; loads Pillow.

Turned as its EXIF says, in RGB or RGBA: as AUTOMATIC1111 reads pictures (`images.read`), and flat
on white as it samples them (`images.flatten`, whose colour is white unless somebody set another).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import BinaryIO, TypeVar

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from stablenew.errors import ConfigError

with suppress(ImportError):  # Pillow has it since 11.3
    from PIL import AvifImagePlugin  # noqa: F401

T = TypeVar("T")

MOST_PIXELS = 89_478_485
"""Pixels that a picture may have: from here on Pillow warns of decompression bombs."""

_READERS = (
    *(PngImagePlugin, JpegImagePlugin, WebPImagePlugin),
    *(BmpImagePlugin, GifImagePlugin, TiffImagePlugin),
)
"""Named, and so loaded: Pillow would load every format that it has."""

_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
_AS_IT_LIES = ("PNG", "JPEG", "WEBP")
_ORIENTATION = 0x0112
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of 16 bits a pixel, which Pillow cuts off at 255 where it converts them."""

_SEE_THROUGH = ("LA", "La", "PA", "RGBA", "RGBa")


def checked_size(file: BinaryIO) -> tuple[int, int]:
    """Return the width and height of a picture as it is seen, once it is known to be whole.

    Raises:
        ConfigError: It is none, one of several, too large, or broken.
    """
    image = _opened(file)
    pixels = image.width * image.height
    if pixels > MOST_PIXELS:
        given = f"{image.width:,} x {image.height:,} pixels ({pixels / 1e6:,.0f} megapixels)"
        raise ConfigError(f"has {given}, expected at most {MOST_PIXELS // 10**6} megapixels")
    if image.format != "MPO" and _whole(lambda: getattr(image, "is_animated", False)):
        # Phones write MPO: one picture, and smaller ones of the same.
        raise ConfigError("holds several pictures, or one that moves; expected one")
    turned = _orientation(image) in (5, 6, 7, 8)
    size = image.size[::-1] if turned else image.size
    image.draft("RGB", (image.width // 8, image.height // 8))  # a JPEG is read whole, and quicker
    _whole(image.load)
    _whole(lambda: _in_colours(Image.new(image.mode, (1, 1))))
    return size


def as_backends_take_it(data: bytes, *, flat: bool) -> bytes:
    """Return an encoded picture as backends take it; the same bytes where it is so already.

    Args:
        data: Of one that `checked_size` has looked at.
        flat: Put what is transparent on white.
    """
    image = _opened(io.BytesIO(data))
    turned = _orientation(image) != 1
    if not turned and image.format in _AS_IT_LIES and _is_rgb(image):
        return data
    parameters = image.info.get("parameters")
    seen = _in_colours(ImageOps.exif_transpose(image) if turned else image)
    seen = _flat(seen) if flat else seen
    texts = PngImagePlugin.PngInfo()
    if isinstance(parameters, str):  # what a WebUI wrote there, it keeps when it upscales
        texts.add_text("parameters", parameters)
    buffer = io.BytesIO()
    seen.save(buffer, "PNG", compress_level=1, pnginfo=texts)
    return buffer.getvalue()


def small_picture(data: bytes, side: int) -> Image.Image:
    """Return an encoded picture as a person sees it, in RGB, no side longer than `side` pixels.

    Raises:
        ConfigError: It cannot be read.
    """
    image = _opened(io.BytesIO(data))
    if image.width * image.height > MOST_PIXELS:
        raise ConfigError("is too large")
    image.draft("RGB", (side, side))
    turned = _orientation(image) != 1
    small = _whole(lambda: _in_colours(ImageOps.exif_transpose(image) if turned else image))
    small.thumbnail((side, side))
    return _flat(small)


def _flat(image: Image.Image) -> Image.Image:
    """Return a picture with what is transparent on white."""
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _in_colours(image: Image.Image) -> Image.Image:
    """Return a picture in RGB, or in RGBA where it may be transparent."""
    if image.mode in _DEEP:
        grey = image.convert("I").point(lambda value: value * (1 / 256))
        return grey.convert("L").convert("RGB")
    see_through = "transparency" in image.info or image.mode in _SEE_THROUGH
    return image.convert("RGBA" if see_through else "RGB")


def _is_rgb(image: Image.Image) -> bool:
    return image.mode == "RGB" and "transparency" not in image.info


def _orientation(image: Image.Image) -> int:
    """Return how a picture is to be turned; 1, not at all, where its EXIF is broken."""
    try:
        found = _whole(lambda: image.getexif().get(_ORIENTATION, 1))
    except ConfigError:
        return 1
    return found if found in range(1, 9) else 1


def _opened(file: BinaryIO) -> ImageFile.ImageFile:
    """Open a picture, as `Image.open` does without the warning: what is too large is refused."""
    beginning = file.read(16)
    for name in _FORMATS:
        make, accepts = Image.OPEN.get(name, (None, None))
        if make is not None and (accepts is None or accepts(beginning) is True):
            file.seek(0)
            return _whole(partial(make, file, ""))
    raise ConfigError(f"is no picture, expected one of {', '.join(_FORMATS)}")


def _whole(read: Callable[[], T]) -> T:
    """Return what is read of a picture.

    Raises:
        ConfigError: It is broken; Pillow raises SyntaxError, OSError, struct.error and others.
    """
    try:
        return read()
    except Exception as error:
        raise ConfigError(f"is no picture that can be read: {error}") from error

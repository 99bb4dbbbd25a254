"""What a backend returned for a request: one picture, whole, and what it is said to be."""

from __future__ import annotations

from collections.abc import Iterable

import anyio.to_thread
import attrs

from stablenew._convert import structure
from stablenew.backends.base import Picture
from stablenew.backends.picture_header import is_quick, read_picture_header
from stablenew.errors import BackendProtocolError, ConfigError


async def checked_picture(returned: object) -> Picture:
    """Return the one picture that a backend returned.

    Args:
        returned: Whatever `run_stage` returned.

    Raises:
        BackendProtocolError: It is not one, no picture, or not as large as the backend says.
    """
    pictures = tuple(returned) if isinstance(returned, Iterable) else (returned,)
    if not pictures:
        raise BackendProtocolError("the backend returned no image")
    if len(pictures) > 1 and all(isinstance(each, Picture) for each in pictures):
        raise BackendProtocolError(
            f"the backend returned {len(pictures)} images for a request of one; "
            "every image has a request of its own"
        )
    picture = pictures[0]
    if not isinstance(picture, Picture) or isinstance(returned, Picture):
        given = type(returned).__name__
        raise BackendProtocolError(f"the backend returned {given}, expected a list of one Picture")
    if not isinstance(picture.data, bytes):
        given = type(picture.data).__name__
        raise BackendProtocolError(f"the picture's data is {given}, expected encoded bytes")
    if is_quick(picture.data):
        return _checked(picture)
    return await anyio.to_thread.run_sync(_checked, picture)


def _checked(picture: Picture) -> Picture:
    header = read_picture_header(picture.data)
    stated, size = (picture.width, picture.height), (header.width, header.height)
    if stated != size:
        raise BackendProtocolError(
            f"the backend says that its picture has {stated[0]}x{stated[1]} pixels, "
            f"it has {size[0]}x{size[1]}"
        )
    names = [field.name for field in attrs.fields(Picture)]
    try:
        return structure({name: getattr(picture, name) for name in names}, Picture, "picture")
    except ConfigError as error:
        raise BackendProtocolError(f"what the backend returned: {error}") from None

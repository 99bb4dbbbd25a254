"""A picture on its way to a server, named after what is in it: one is never another. Pure."""

from __future__ import annotations

import hashlib

import attrs

from stablenew.backends.picture_header import read_picture_header

FOLDER = "stablenew"
"""In the server's folder of pictures to start from."""

_BOUNDARY = "stablenew-8f14e45f"


@attrs.frozen(kw_only=True)
class Upload:
    """A form for `POST /upload/image`.

    Attributes:
        size: Of the picture, in pixels.
    """

    content: bytes = attrs.field(repr=False)
    content_type: str
    size: tuple[int, int]


def build_upload(image: bytes) -> Upload:
    """Return the form for a picture.

    Raises:
        BackendProtocolError: It cannot be read.
    """
    header = read_picture_header(image)
    name = hashlib.sha256(image).hexdigest()[:32] + ".png"  # the ending means nothing to it
    fields = {"overwrite": "true", "type": "input", "subfolder": FOLDER}
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    content = b"".join([*parts, head, image, f"\r\n--{_BOUNDARY}--\r\n".encode()])
    return Upload(
        content=content,
        content_type=f"multipart/form-data; boundary={_BOUNDARY}",
        size=(header.width, header.height),
    )

"""Pictures on their way to a server and from it.

One that goes there is named after what is in it, so that it is never another. One that comes from
there is fetched at once: its file is temporary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlencode

import anyio.to_thread
import attrs

from stablenew.backends.answers import Answer, read_json, refusal
from stablenew.backends.comfyui.job_state import JobState
from stablenew.backends.comfyui.stage_graphs import Source
from stablenew.backends.picture_header import read_picture_header
from stablenew.backends.server_client import ServerClient
from stablenew.errors import BackendProtocolError, BackendRejectedError

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


async def upload(client: ServerClient, image: bytes) -> Source:
    """Send a picture to start from.

    Raises:
        BackendRejectedError: The server takes none that is as large.
        BackendError: It cannot be read, or the server does not answer as it should.
    """
    form = await anyio.to_thread.run_sync(build_upload, image)
    answer = await client.ask("POST", "/upload/image", form.content, content_type=form.content_type)
    if answer.status == 413:
        raise BackendRejectedError(
            f"the picture to start from ({len(image):,} bytes) is larger than the server takes"
            " (its --max-upload-size)",
            status=413,
        )
    told = _read(answer, "POST /upload/image")
    folder, name = (str(told.get(key) or "") for key in ("subfolder", "name"))
    return Source(name=f"{folder}/{name}" if folder else name, size=form.size)


async def fetch(client: ServerClient, state: JobState, node: str) -> bytes:
    """Return the picture that a job made, in one of its nodes.

    Raises:
        BackendProtocolError: There is none, or it is gone.
        BackendError: The server does not answer as it should.
    """
    files = state.files(node)
    if not files:
        raise BackendProtocolError("asked for 1 picture, got 0: the server says success")
    named = {key: str(files[0].get(key) or "") for key in ("filename", "subfolder", "type")}
    answer = await client.ask("GET", f"/view?{urlencode(named)}")
    if answer.status == 404:
        message = f"the server made {named['filename']}, and has no such file any more"
        raise BackendProtocolError(message, retryable=True)
    if answer.status >= 400:
        raise refusal(answer, "GET /view")
    return bytes(answer.body)


def _read(answer: Answer, doing: str) -> Mapping[str, object]:
    if answer.status >= 400:
        raise refusal(answer, doing)
    told = read_json(answer)
    if not isinstance(told, dict):
        raise BackendProtocolError(f"{doing}: the answer is no object")
    return told

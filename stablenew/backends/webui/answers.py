"""What a WebUI answers to a generation."""

from __future__ import annotations

import msgspec

from stablenew.backends.answers import Answer, unreadable
from stablenew.errors import BackendProtocolError
from stablenew.storage.record_reader import NOT_JSON


class Pictures(msgspec.Struct):
    """What generation and upscaling answer, as far as it matters here.

    Attributes:
        images: Strings of base64, as they stand in the JSON: to make text of them first would take
            longer than all the rest. None where there is just `image`.
        info: JSON within the JSON, or an object, or nothing.
        image: The one that `extra-single-image` answers, likewise; `null` for none.
        html_info: What `extra-single-image` did.
    """

    images: list[msgspec.Raw] | None = None
    info: str | dict[str, object] | None = None
    image: msgspec.Raw = msgspec.Raw(b"null")
    html_info: str = ""


def read_pictures(answer: Answer) -> Pictures:
    """Return what an answer holds.

    Raises:
        BackendProtocolError: It is none; worth another try where it was cut on its way.
    """
    try:
        return msgspec.json.decode(answer.body, type=Pictures)
    except msgspec.ValidationError as error:  # whole, and something else than it should be
        raise BackendProtocolError(f"the answer holds no pictures: {error}") from error
    except NOT_JSON as error:
        raise unreadable(answer, error) from error


def read_info(info: str | dict[str, object] | None) -> dict[str, object]:
    """Return what the server says it used; empty where it says nothing."""
    if isinstance(info, str) and info:
        try:
            decoded = msgspec.json.decode(info)
        except NOT_JSON:
            return {}
        return decoded if isinstance(decoded, dict) else {}
    return info if isinstance(info, dict) else {}

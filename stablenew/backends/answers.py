"""What servers answer, and what it says where the answer is no.

Errors come in several shapes: AUTOMATIC1111's `{"error", "detail", "body", "errors"}`, Forge's with
`message` in place of `errors`, and FastAPI's `{"detail": text or list}`; sd-server's is
`{"error", "message"}`, a proxy's is a page of HTML, and a body may be empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs
import msgspec

from stablenew.errors import (
    BackendError,
    BackendProtocolError,
    BackendRejectedError,
    BackendUnavailableError,
)
from stablenew.storage.record_reader import NOT_JSON

_EXCERPT = 300
"""Letters of a server's error that are shown."""

_READ = 64 * 1024
"""Bytes of an error's body that are looked at."""

AWAY = (502, 503, 504)
"""What a proxy says while the server behind it is away."""


@attrs.frozen(kw_only=True)
class Answer:
    """An answer as it came.

    Attributes:
        body: As the server sent it.
        asked: How the server was asked, where somebody else may have answered; else "".
    """

    status: int
    content_type: str
    body: bytes | bytearray = attrs.field(repr=False)
    asked: str = ""

    @property
    def looks_good(self) -> bool:
        """Whether it seems to be a whole object of JSON and no error; a look costs nothing."""
        kind, end = self.content_type.partition(";")[0], self.body[-8:].rstrip()
        return self.status < 400 and kind.strip() == "application/json" and end[-1:] == b"}"

    @property
    def size(self) -> int:
        """The length of the body in bytes."""
        return len(self.body)


def read_json(answer: Answer, kind: object = object) -> object:
    """Return an answer's JSON, None for an empty body.

    Args:
        answer: As it came.
        kind: What of it is wanted, as msgspec takes it.

    Raises:
        BackendProtocolError: It is none; worth another try, for it was cut on its way.
    """
    if not answer.size:
        return None
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.ValidationError as error:  # whole, and something else than it should be
        raise BackendProtocolError(f"the answer is something else: {error}") from error
    except NOT_JSON as error:
        raise unreadable(answer, error) from error


def refusal(answer: Answer, doing: str) -> BackendError:
    """Return the error that an answer with a status of 400 or more stands for."""
    said = error_text(answer.body)
    if answer.asked:
        said = f"{said or answer.status} ({answer.asked})"
    if answer.status in AWAY:
        message = f"{doing}: the server is away ({answer.status}{': ' + said if said else ''})"
        return BackendUnavailableError(message, retryable=True)
    if answer.status in (401, 403):
        message = (
            f"{doing}: the server refused ({said or answer.status}); give --auth user:password"
        )
    else:
        message = f"{doing}: {said}" if said else f"{doing}: the server answered {answer.status}"
    return BackendRejectedError(message, status=answer.status, excerpt=said)


def error_text(body: bytes | bytearray) -> str:
    """Return what an error's body says, on one line and cut to what matters."""
    body = body[:_READ]
    try:
        data = msgspec.json.decode(body)
    except NOT_JSON:
        text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", body.decode(errors="replace"))
        return _cut(text)
    if not isinstance(data, dict):
        return _cut(str(data or ""))
    return _cut(": ".join(_parts(data)))


def _parts(data: dict[str, object]) -> Iterator[str]:
    kind = data.get("error")
    says = [data.get(name) for name in ("errors", "message")]
    detail = data.get("detail")
    if isinstance(detail, list):
        detail = "; ".join(map(_complaint, detail))
    said = [str(each) for each in (*says, detail) if each]
    if kind and not (said and kind == "HTTPException"):
        yield str(kind)
    yield from dict.fromkeys(said)


def _complaint(entry: object) -> str:
    """Return one of pydantic's complaints: where, and what."""
    if not isinstance(entry, dict):
        return str(entry)
    place = entry.get("loc")
    where = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
    return ": ".join([*([".".join(where)] if where else []), str(entry.get("msg", ""))])


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1] + "…"


def unreadable(answer: Answer, error: Exception) -> BackendProtocolError:
    """Return the error for an answer that was cut on its way."""
    said = error_text(answer.body)[:80] if "json" not in answer.content_type else str(error)
    kind = answer.content_type or "no type"
    message = f"the answer ({answer.size:,} bytes of {kind}) cannot be read: {said}"
    return BackendProtocolError(message, retryable=True)

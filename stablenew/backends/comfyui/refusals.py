"""Why a server does not take a prompt, in one line. Pure.

`error.details` is often empty; what is wrong stands in `node_errors`. Those come also with a 200:
then a part of the outputs was refused, and the rest runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from stablenew.backends.answers import Answer, refusal
from stablenew.errors import BackendError, BackendRejectedError
from stablenew.storage.record_reader import NOT_JSON


def rejection(answer: Answer) -> BackendError:
    """Return the error that an answer of `POST /prompt` with a status of 400 or more stands for."""
    if answer.status == 413:
        message = "POST /prompt: larger than the server takes (its --max-upload-size)"
        return BackendRejectedError(message, status=413)
    try:
        data = msgspec.json.decode(answer.body)
    except NOT_JSON:
        data = None
    if answer.status != 400 or not isinstance(data, dict):
        return refusal(answer, "POST /prompt")
    said = "; ".join(complaints(data.get("node_errors"))) or _general(data.get("error"))
    message = f"the server refused the prompt: {said}"
    return BackendRejectedError(message, status=400, excerpt=said)


def complaints(node_errors: object) -> Iterator[str]:
    """Yield what is wrong with each node: `model (CheckpointLoaderSimple): Value not in list`."""
    for node, told in node_errors.items() if isinstance(node_errors, dict) else ():
        errors = told.get("errors") if isinstance(told, dict) else None
        kind = told.get("class_type") if isinstance(told, dict) else ""
        for each in errors if isinstance(errors, list) else ():
            yield f"{node} ({kind}): {_general(each)}"


def _general(told: object) -> str:
    if not isinstance(told, Mapping):
        return str(told)
    said = [str(told.get(name) or "").strip() for name in ("message", "details")]
    return ": ".join(dict.fromkeys(filter(None, said))) or str(told.get("type"))

"""How a server says what has become of a job: `/api/jobs/{id}`, or `/queue` and `/history`. Pure.

A job that waits and is deleted leaves no trace: "nowhere" is cancelled before it began, or a server
that was restarted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import attrs

from stablenew.errors import BackendProtocolError

_NOTHING: Mapping[str, object] = {}


class Status(StrEnum):
    """Where a job is; the values are those of `/api/jobs`."""

    PENDING = "pending"
    RUNNING = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOWHERE = "nowhere"


@attrs.frozen(kw_only=True)
class JobState:
    """A job as it was seen.

    Attributes:
        outputs: By node, once it is completed: the files that it made.
        cached: The nodes that the server did not run, for it had their results.
        error: What failed, in the server's words; "" where nothing did.
        seconds: How long it ran; None where the server does not tell.
    """

    status: Status
    outputs: Mapping[str, object] = attrs.field(factory=dict, repr=False)
    cached: tuple[str, ...] = ()
    error: str = ""
    seconds: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.status not in (Status.PENDING, Status.RUNNING)

    def files(self, node: str) -> list[Mapping[str, object]]:
        """Return the files that a node made."""
        images = _table(self.outputs.get(node)).get("images")
        return [_table(each) for each in images] if isinstance(images, list) else []


def read_job(data: object) -> JobState:
    """Read the answer of `/api/jobs/{id}`.

    Raises:
        BackendProtocolError: It is none.
    """
    told = _table(data)
    try:
        status = Status(str(told.get("status")))
    except ValueError:
        raise BackendProtocolError(f"a job's status is {told.get('status')!r}") from None
    return _state(status, told.get("outputs"), _table(told.get("execution_status")))


def read_history(data: object, prompt_id: str) -> JobState | None:
    """Read the answer of `/history/{id}`; None where the job is not in it."""
    entry = _table(data).get(prompt_id)
    if not isinstance(entry, dict):
        return None
    told = _table(entry.get("status"))
    status = Status.COMPLETED if told.get("status_str") == "success" else Status.FAILED
    if any(name == "execution_interrupted" for name, _ in _messages(told)):
        status = Status.CANCELLED
    return _state(status, entry.get("outputs"), told)


def read_queue(data: object, prompt_id: str) -> Status:
    """Return where in the answer of `/queue` a job is."""
    for name, status in (("queue_running", Status.RUNNING), ("queue_pending", Status.PENDING)):
        entries = _table(data).get(name)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, list) and len(entry) > 1 and entry[1] == prompt_id:
                return status
    return Status.NOWHERE


def _state(status: Status, outputs: object, told: Mapping[str, object]) -> JobState:
    messages = dict(_messages(told))
    cached = messages.get("execution_cached", _NOTHING).get("nodes")
    failure = messages.get("execution_error", _NOTHING)
    return JobState(
        status=status,
        outputs=_table(outputs),
        cached=tuple(map(str, cached)) if isinstance(cached, list) else (),
        error=_failed(failure) if status is Status.FAILED else "",
        seconds=_seconds(messages),
    )


def _seconds(messages: Mapping[str, Mapping[str, object]]) -> float | None:
    """Return the time between the first message of a run and its last."""
    names = ("execution_start", "execution_success")
    began, ended = (messages.get(name, _NOTHING).get("timestamp") for name in names)
    if not isinstance(began, int | float) or not isinstance(ended, int | float):
        return None
    return max(ended - began, 0.0) / 1e3


def _failed(failure: Mapping[str, object]) -> str:
    where = f"{failure.get('node_id')} ({failure.get('node_type')})"
    what = " ".join(str(failure.get("exception_message") or "").split())
    kind = str(failure.get("exception_type") or "").rpartition(".")[2]
    return f"node {where} failed: {': '.join(filter(None, (kind, what))) or 'it does not say why'}"


def _messages(told: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    messages = told.get("messages")
    for each in messages if isinstance(messages, list) else []:
        if isinstance(each, list) and len(each) > 1:
            yield str(each[0]), _table(each[1])


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else _NOTHING

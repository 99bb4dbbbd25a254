"""What `/progress` says, made sense of.

AUTOMATIC1111 shows `job_count` 0 and an empty `job` while idle, −1 for a moment at the start, and
after an upscale that failed it goes on showing `Upscale` at 1.0 until the next job begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

import attrs

from stablenew._convert import is_a_number

PROGRESS = "/sdapi/v1/progress?skip_current_image=true"
TASK = "/internal/progress"
"""Where a task is asked for by its id."""


@attrs.frozen(kw_only=True)
class Snapshot:
    """A server's work at one moment.

    Attributes:
        fraction: Of the running job, 0 to 1; it may go back.
        seconds_left: None where the server does not say.
        busy: Whether a job is running.
        leftover: Whether it is rather the trace of an upscale that failed.
        maybe_leftover: Whether it is one if it never moves: SD.Next shows any job that failed as
            running, until the next one begins.
        timestamp: Names the job, to the second at which it began; "" where there is none.
        begun: Whether it has made a first step.
        interrupted: Whether somebody asked the job to stop.
        mark: Changes when the job gets further.
        preview: The picture so far in base64, where it was asked for and there is one.
    """

    fraction: float = 0.0
    seconds_left: float | None = None
    busy: bool = False
    leftover: bool = False
    maybe_leftover: bool = False
    timestamp: str = ""
    begun: bool = False
    interrupted: bool = False
    mark: tuple[object, ...] = ()
    preview: str | None = attrs.field(default=None, repr=False)

    @property
    def idle(self) -> bool:
        """Whether nothing is really running."""
        return not self.busy or self.leftover


def read_snapshot(data: object) -> Snapshot | None:
    """Return what `GET /sdapi/v1/progress` says; None for something else."""
    if not isinstance(data, Mapping) or not isinstance(data.get("state"), Mapping):
        return None
    state: Mapping[str, object] = data["state"]
    fraction = min(max(_number(data.get("progress")), 0.0), 1.0)
    job = str(state.get("job") or "")
    busy = bool(job) or _number(state.get("job_count")) != 0
    return Snapshot(
        fraction=fraction,
        seconds_left=_seconds(data.get("eta_relative")) if fraction > 0 else None,
        busy=busy,
        leftover=busy and job == "Upscale" and fraction >= 1.0,
        maybe_leftover=busy and "id" in data and job != "Load model",  # which stands for minutes
        timestamp=str(state.get("job_timestamp") or ""),
        begun=_number(state.get("sampling_step")) > 0 or _number(state.get("job_no")) > 0,
        interrupted=bool(state.get("interrupted") or state.get("skipped")),
        mark=(fraction, *(state.get(name) for name in ("job", "job_no", "sampling_step"))),
        preview=_text(data.get("current_image")),
    )


class TaskState(StrEnum):
    """Where a task with an id of ours stands."""

    QUEUED = "queued"
    ACTIVE = "active"
    UNKNOWN = "unknown"


def read_task(data: object) -> tuple[TaskState, Snapshot] | None:
    """Return what `POST /internal/progress` says of a task; None for something else."""
    if not isinstance(data, Mapping) or "active" not in data:
        return None
    fraction = min(max(_number(data.get("progress")), 0.0), 1.0)
    queued, active = bool(data.get("queued")), bool(data.get("active"))
    state = TaskState.ACTIVE if active else TaskState.QUEUED if queued else TaskState.UNKNOWN
    preview = _text(data.get("live_preview"))
    snapshot = Snapshot(
        fraction=fraction,
        seconds_left=_seconds(data.get("eta")) if data.get("eta") is not None else None,
        busy=active,
        begun=fraction > 0,
        mark=(fraction, data.get("textinfo")),
        preview=preview.partition("base64,")[2] or preview if preview else None,
    )
    return state, snapshot


def _number(value: object) -> float:
    return float(value) if is_a_number(value) and math.isfinite(value) else 0.0


def _seconds(value: object) -> float:
    return max(_number(value), 0.0)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

"""Whether a job is under way, or hangs."""

from __future__ import annotations

import anyio

from stablenew.backends.webui.calls import Call
from stablenew.backends.webui.holder import Holder
from stablenew.backends.webui.job import Job
from stablenew.backends.webui.progress import Snapshot


class SignsOfLife:
    """What counts as a sign of life of one job.

    Args:
        load_timeout: Seconds that may pass without any: until the first step, for a checkpoint may
            be loading, and while the server cannot be looked at.
        call: What was asked for; an upscaler is loaded within the time that any stage has.

    Attributes:
        furthest: How far it was seen, 0 to 1.
    """

    def __init__(self, load_timeout: float, call: Call | None) -> None:
        self.furthest = 0.0
        self._load_timeout = load_timeout
        self._patience = 0.0 if call is None or call.kind == "extras" else load_timeout
        self._reloads = call is not None and "refiner_checkpoint" in call.settings
        self._loading_until = anyio.current_time() + self._patience
        self._readable_at = anyio.current_time()
        self._arrived = 0
        self._mark: tuple[object, ...] | None = None

    def alive(self, job: Job, snapshot: Snapshot | None) -> bool:
        """Return whether there was a sign of life since the last look."""
        now = anyio.current_time()
        if job.arrived != self._arrived:
            self._arrived = job.arrived
            return True
        if snapshot is None:  # nothing to be seen here, or just now
            return job.blind or now - self._readable_at < self._load_timeout
        self._readable_at = now
        moved, self._mark = snapshot.mark != self._mark, snapshot.mark
        if job.holder is Holder.OTHERS:
            self._loading_until = now + self._patience
            return True
        if job.holder is Holder.NOBODY:
            return False
        self.furthest = max(self.furthest, snapshot.fraction)
        if snapshot.begun and not self._reloads:
            self._loading_until = 0.0
        return moved or now < self._loading_until

"""Whether a prompt is under way, or hangs."""

from __future__ import annotations

import anyio

from stablenew.backends.comfyui.job import Job
from stablenew.backends.comfyui.job_state import Status


class SignsOfLife:
    """What counts as a sign of life of one job.

    Args:
        job: The one.
        load_timeout: Seconds that a node may take without a word: one that loads a model says
            nothing, nor does one that decodes a large picture.
    """

    def __init__(self, job: Job, load_timeout: float) -> None:
        self._job = job
        self._load_timeout = load_timeout
        self._seen = 0
        self._heard = 0
        self._since = anyio.current_time()

    def alive(self) -> bool:
        """Return whether there was a sign of life since the last look."""
        job, hearing, now = self._job, self._job.hearing, anyio.current_time()
        seen, self._seen = job.seen != self._seen, job.seen
        heard, self._heard = hearing.times != self._heard, hearing.times
        waiting = job.state is None or job.state.status is Status.PENDING
        if heard or waiting:
            self._since = now
        if heard:
            return True
        if not seen:
            return False
        if waiting or not hearing.times:  # behind others; or nothing but the server's word tells
            return True
        return not hearing.stepping and now - self._since < self._load_timeout

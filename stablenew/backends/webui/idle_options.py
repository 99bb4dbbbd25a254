"""A server's own options: those that it shows while nothing runs.

While a job runs, `GET /sdapi/v1/options` shows what that job overrides (its model, its VAE, its
clip skip), as if it were the server's own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import anyio

from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.progress import PROGRESS, Snapshot, read_snapshot
from stablenew.backends.webui.server import CHECKPOINT, CLIP_SKIP, MODULES, VAE
from stablenew.errors import BackendUnavailableError

logger = logging.getLogger(__name__)

OPTIONS = "/sdapi/v1/options"

_LOOK = 0.25
"""Seconds between two looks while somebody's job runs."""

_STANDS_STILL = 30.0
"""Seconds after which what does not move at all, and may be the trace of a job, is one."""

_PATIENCE = 600.0
"""Seconds after which a queue is taken to have no end, and a job that does not move to be none."""


async def read_idle_options(client: ServerClient, before: Snapshot, shown: object) -> object:
    """Return the options that are shown twice, with no job before, between and after.

    The job that runs is waited for as long as it moves. If others follow it for ten minutes without
    a pause, what all of them showed alike is taken for the server's own, and said.

    Args:
        client: Talks to the server.
        before: What the server was doing before it was asked.
        shown: What it answered then; what is no options is not asked for again.

    Raises:
        BackendUnavailableError: It is never idle, and its jobs show different settings.
    """
    busy: _Busy | None = None
    while shown is not None:
        after = read_snapshot(await client.get(PROGRESS)) or Snapshot()
        again = await client.get(OPTIONS)
        unchanged = before.timestamp == after.timestamp and shown == again
        if before.idle and after.idle and unchanged:
            break
        if not after.idle:
            if busy is None:
                busy = _Busy(client.url, after)
            if busy.leftover(after) or busy.endless(after, again):
                return again
            await anyio.sleep(_LOOK)
        before, shown = after, again
    if busy is not None:
        logger.info("%s: the job of another client is over", client.url)
    return shown


class _Busy:
    """A wait for jobs of other clients.

    Args:
        url: The server's.
        job: The one that runs.
    """

    def __init__(self, url: str, job: Snapshot) -> None:
        self._url = url
        self._first = job.timestamp
        self._mark: tuple[object, ...] | None = None
        self._since = anyio.current_time()
        self._place: tuple[object, ...] = ()
        self._stood_since = self._since
        self._seen: list[dict[str, object]] = []
        why = "until it is over, the server shows that job's settings for its own"
        logger.warning("%s: waiting for a job of another client; %s", url, why)

    def leftover(self, job: Snapshot) -> bool:
        """Return whether there is no job: what is shown is the trace of one that failed."""
        now, place = anyio.current_time(), (job.timestamp, job.mark)
        if place != self._place:
            self._place, self._stood_since = place, now
        return job.maybe_leftover and now - self._stood_since >= _STANDS_STILL

    def endless(self, job: Snapshot, options: object) -> bool:
        """Return whether to wait no longer, for all that was shown in this time is the same.

        Raises:
            BackendUnavailableError: To wait no longer, for it is not.
        """
        shown = _of_requests(options)
        if shown not in self._seen:
            self._seen.append(shown)
        now = anyio.current_time()
        if job.timestamp == self._first and job.mark != self._mark:
            self._mark, self._since = job.mark, now
        if now - self._since < _PATIENCE:
            return False
        if len(self._seen) > 1:
            raise BackendUnavailableError(
                f"{self._url} is never idle: jobs of other clients follow one another, each with"
                " settings of its own, and which are the server's cannot be seen; try again when it"
                " has a pause",
                retryable=True,
            )
        taken = ", ".join(f"{name} {value!r}" for name, value in shown.items())
        logger.warning("%s is never idle; what it shows is taken for its own: %s", self._url, taken)
        return True


def _of_requests(options: object) -> dict[str, object]:
    """Return the options that requests override, as far as a server has them."""
    told = options if isinstance(options, Mapping) else {}
    return {name: told[name] for name in (CHECKPOINT, VAE, MODULES, CLIP_SKIP) if name in told}

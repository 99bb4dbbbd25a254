"""SD.Next's limit of requests: so many a minute, of which a picture costs five.

The limit is looked at after the work: a picture that is refused was made, and is lost. So requests
are paced to stay below it; and if other clients at this address have used it up, it is waited for.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import anyio

from stablenew.backends.base import ReportProgress
from stablenew.errors import BackendUnavailableError

logger = logging.getLogger(__name__)

LIMITED = 429

OPTION = "server_rate_limit"
_DEFAULT = 300
_COST = 5
"""Of a txt2img or img2img; any other request costs 1, on a path of its own."""

MINUTE = 60.0
SIGN_OF_LIFE = 5.0
"""Seconds after which a wait is told again."""

PAUSES = (15.0, 30.0, 60.0)
"""Seconds to wait after a refusal, and after those that follow it."""

_PATIENCE = 10
"""Refusals of one picture after which there is no use in waiting."""


class Limit:
    """What may be sent, and when. A few pictures at once, then so many a minute.

    Both together stay below the limit wherever a minute begins; who goes on using it from this
    address is not counted here.

    Args:
        url: The server's.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._left = math.inf
        self._counted_at = anyio.current_time()
        self.found({})

    def found(self, options: Mapping[str, object]) -> None:
        """Take note of a server's own options; one that it does not list is at its default."""
        told = options.get(OPTION, _DEFAULT)
        pictures = int(told) // _COST if isinstance(told, int | float) else _DEFAULT // _COST
        self._none = pictures <= 0
        self._at_once = max(pictures // 10, 1)
        self._per_minute = max(pictures - self._at_once - 1, 1)
        self._left = min(self._left, self._at_once)

    async def turn(self, report: ReportProgress) -> None:
        """Wait until one more picture may be asked for, and count it."""
        while (seconds := self._seconds()) > 0:
            await _wait(min(seconds, SIGN_OF_LIFE), report)
        self._left -= 1

    async def refused(self, times: int, report: ReportProgress) -> None:
        """Wait for the limit to pass.

        Args:
            times: How often this picture was refused by now.
            report: Told that there is still somebody waiting.

        Raises:
            BackendUnavailableError: It was refused too often.
        """
        if times > _PATIENCE:
            says = f"{self._url} has refused a picture {times} times: its limit of requests is used"
            raise BackendUnavailableError(f"{says} up by others at this address", retryable=True)
        self._left = min(self._left, 0.0)
        seconds = PAUSES[min(times, len(PAUSES)) - 1]
        says = "its limit of requests was reached, and the picture that it had made is lost"
        logger.warning("%s: %s; waiting for %g s", self._url, says, seconds)
        until = anyio.current_time() + seconds
        while (left := until - anyio.current_time()) > 0:
            await _wait(min(left, SIGN_OF_LIFE), report)

    def _seconds(self) -> float:
        """Return how long to wait for the next picture."""
        if self._none:
            return 0.0
        now = anyio.current_time()
        earned = (now - self._counted_at) * self._per_minute / MINUTE
        self._left, self._counted_at = min(self._left + earned, self._at_once), now
        return max(1.0 - self._left, 0.0) * MINUTE / self._per_minute


async def _wait(seconds: float, report: ReportProgress) -> None:
    await report(0.0)
    await anyio.sleep(seconds)

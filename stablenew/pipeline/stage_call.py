"""One call to a backend: watched for signs of life, stopped for good when it is cut short, checked.

A backend is code of others: what it returns may be no picture, and it may end in a cancel that
nobody gave.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from stablenew._cancelling import insist, leak_of
from stablenew.backends.base import Backend, InterruptReceipt, Picture, ReportProgress, StageRequest
from stablenew.errors import StageTimeoutError
from stablenew.pipeline.picture_check import checked_picture

logger = logging.getLogger(__name__)


class StageCall:
    """Has a backend make pictures, one call at a time.

    Args:
        backend: Makes them.
        stall_timeout: Seconds without a sign of life after which a call is given up.
        grace: Seconds that the backend has to stop once it was asked to.
    """

    def __init__(self, backend: Backend, *, stall_timeout: float, grace: float) -> None:
        self._backend = backend
        self._stall_timeout = stall_timeout
        self._grace = grace

    async def make(
        self,
        request: StageRequest,
        report: ReportProgress,
        stopped: Callable[[InterruptReceipt], None],
    ) -> Picture:
        """Make one picture.

        Args:
            request: What to make.
            report: Awaited with how much is done.
            stopped: Told what came of it, if the backend had to be asked to stop.

        Raises:
            StageTimeoutError: There was no sign of life for too long.
            BackendProtocolError: What the backend returned is not one picture.
            BackendError: The backend could not make it.
            LeakedCancelError: It ended in a cancel that nobody gave.
        """
        returned: object = ()
        with anyio.CancelScope() as stall:

            async def alive(
                fraction: float,
                *,
                seconds_left: float | None = None,
                preview: bytes | None = None,
            ) -> None:
                stall.deadline = math.inf  # a slow watcher is no stalled backend
                await report(fraction, seconds_left=seconds_left, preview=preview)
                stall.deadline = anyio.current_time() + self._stall_timeout

            stall.deadline = anyio.current_time() + self._stall_timeout
            try:
                returned = await self._backend.run_stage(request, alive)
            except anyio.get_cancelled_exc_class() as error:
                stopped(await self.interrupt(request.request_id))
                raise leak_of(f"the backend's {request.stage}", error) from error
        if stall.cancelled_caught:
            raise StageTimeoutError(
                f"no progress for {self._stall_timeout:g} s", stage=request.stage, retryable=True
            )
        await checkpoint_if_cancelled()  # what a cancelled call returned late is thrown away
        return await checked_picture(returned)

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Ask the backend to stop; never raises, for a cancellation may be on its way out."""
        started = anyio.current_time()
        receipt: InterruptReceipt | None = None
        with anyio.move_on_after(self._grace, shield=True):
            try:
                receipt = await insist(lambda: self._backend.interrupt(request_id))
            except Exception as error:  # noqa: BLE001  # it would take the cancellation's place
                logger.warning("%s: the interrupt failed: %s", request_id, error)
        return receipt or InterruptReceipt(
            request_id=request_id,
            call="interrupt",
            confirmed=False,
            seconds=anyio.current_time() - started,
        )

"""The embedded model as a backend: in a worker thread, stoppable between two steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.from_thread
import anyio.to_thread

from stablenew._blas import one_blas_thread
from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    Picture,
    ReportProgress,
    StageRequest,
)
from stablenew.backends.embedded.capabilities import EMBEDDED_CAPABILITIES

if TYPE_CHECKING:
    from stablenew.backends.embedded.studio import Studio


class _StoppedError(Exception):
    """Raised in the worker thread when the job was interrupted."""


class EmbeddedBackend:
    """Draws with the model that ships with the package; needs no server, GPU or download.

    numpy, Pillow and the weights are loaded in the worker thread with the first picture. While it
    draws, BLAS is held to one thread, so that the rest of the program keeps its cores.
    """

    name = "embedded"

    def __init__(self) -> None:
        self._studio: Studio | None = None
        self._turn = anyio.Lock()
        self._job: str | None = None
        self._stopped: str | None = None
        self._gone = anyio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the model's 50 MB; of the weights, every backend has the same."""
        self._studio = None

    async def capabilities(self) -> Capabilities:
        """Tell what the model can do; nothing is loaded for this."""
        return EMBEDDED_CAPABILITIES

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Make one picture; a cancel or an interrupt takes effect before the next step."""
        async with self._turn:
            self._job = request.request_id
            try:
                return [await anyio.to_thread.run_sync(self._draw, request, report)]
            except _StoppedError:
                return []
            finally:
                self._job = None
                self._gone.set()
                self._gone = anyio.Event()

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job before its next step and wait until it is gone."""
        started = time.monotonic()
        self._stopped = request_id
        while self._job == request_id:
            await self._gone.wait()
        seconds = time.monotonic() - started
        return InterruptReceipt(
            request_id=request_id, call="between steps", confirmed=True, seconds=seconds
        )

    def _draw(self, request: StageRequest, report: ReportProgress) -> Picture:
        """Make a picture, in the worker thread."""

        def callback(step: int, steps: int) -> None:
            anyio.from_thread.check_cancelled()
            if self._stopped == request.request_id:
                raise _StoppedError
            anyio.from_thread.run(report, step / steps)

        with one_blas_thread():
            if self._studio is None:
                from stablenew.backends.embedded.studio import Studio

                self._studio = Studio()
            return self._studio.draw(request, callback)

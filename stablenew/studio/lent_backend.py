"""A backend that is lent: whoever has it enters and leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from stablenew.backends.base import (
    Backend,
    Capabilities,
    Draining,
    InterruptReceipt,
    LookingAhead,
    Picture,
    ReportProgress,
    StageRequest,
)


class LentBackend:
    """A backend of the program around, which enters and leaves it itself."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.url = getattr(backend, "url", None)

    @property
    def name(self) -> str:
        """Its own."""
        return self._backend.name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        return None

    async def capabilities(self) -> Capabilities:
        """Tell what it can do."""
        return await self._backend.capabilities()

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Make one picture."""
        return await self._backend.run_stage(request, report)

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job."""
        return await self._backend.interrupt(request_id)

    @property
    def pending(self) -> int:
        """How many cancelled jobs may still be going on."""
        return self._backend.pending if isinstance(self._backend, Draining) else 0

    @property
    def left_behind(self) -> Sequence[str]:
        """What it may still do for us."""
        return self._backend.left_behind if isinstance(self._backend, Draining) else ()

    async def drained(self) -> None:
        """Wait until nothing of ours is left there."""
        if isinstance(self._backend, Draining):
            await self._backend.drained()

    async def announce(self, request: StageRequest) -> None:
        """Hand on which picture comes next, to one that looks ahead."""
        if isinstance(self._backend, LookingAhead):
            await self._backend.announce(request)

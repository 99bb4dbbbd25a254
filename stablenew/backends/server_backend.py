"""Drives whatever server answers at a URL: a ComfyUI or a WebUI, found out by asking it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    LookingAhead,
    Picture,
    ReportProgress,
    StageRequest,
)
from stablenew.backends.comfyui.backend import ComfyUIBackend
from stablenew.backends.webui.backend import WebUIBackend


class ServerBackend:
    """One of the backends that have a server, chosen whenever it is asked what it can do.

    Args:
        url: Where the server is; may hold credentials.
        auth: `user:password`, where it wants them.
    """

    def __init__(self, url: str, auth: str | None = None) -> None:
        self._comfyui = ComfyUIBackend(url, auth)
        self._webui = WebUIBackend(url, auth)
        self._chosen: ComfyUIBackend | WebUIBackend | None = None
        self.url = self._webui.url

    @property
    def name(self) -> str:
        """That of the chosen one; `server` before."""
        return "server" if self._chosen is None else self._chosen.name

    async def __aenter__(self) -> Self:
        # Both, for they can be left only by the task that enters them.
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._comfyui)
            await stack.enter_async_context(self._webui)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)

    async def capabilities(self) -> Capabilities:
        """Find out what answers, and ask it what it can do.

        Raises:
            BackendUnavailableError: Nobody answers, or something else.
            ConfigError: The server wants credentials.
        """
        self._chosen = self._comfyui if await self._comfyui.answers() else self._webui
        return await self._chosen.capabilities()

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Make one picture, as the chosen one does."""
        if self._chosen is None:
            await self.capabilities()
        assert self._chosen is not None
        return await self._chosen.run_stage(request, report)

    async def announce(self, request: StageRequest) -> None:
        """Take note of what is asked for next, as the chosen one does."""
        if isinstance(self._chosen, LookingAhead):
            await self._chosen.announce(request)

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job, as the chosen one does."""
        return await (self._chosen or self._webui).interrupt(request_id)

    @property
    def pending(self) -> int:
        """How many cancelled jobs the server may still be working on."""
        return self._comfyui.pending + self._webui.pending

    @property
    def left_behind(self) -> Sequence[str]:
        """What the server may still do for us, one line each."""
        return [*self._comfyui.left_behind, *self._webui.left_behind]

    async def drained(self) -> None:
        """Wait until nothing of ours is left on the server."""
        await self._comfyui.drained()
        await self._webui.drained()

"""A request that was announced: its call is built at once, and sent when nothing else runs."""

from __future__ import annotations

from uuid import uuid4

import anyio
import attrs

from stablenew.backends.base import StageRequest
from stablenew.backends.webui.calls import Call, call_for
from stablenew.backends.webui.job import Job
from stablenew.backends.webui.server import Server


def new_task_id(server: Server) -> str | None:
    """Return what a server shall know a job by; None where it takes no names."""
    return f"task({uuid4().hex})" if server.task_ids else None


class Announced:
    """A request that is to be sent when what is under way is answered.

    Args:
        request: The request.
        server: Who is to make it.

    Attributes:
        call: What is sent, once it is built.
        job: That call under way; None while it is not sent.
        begun: Set when it is sent, or will not be.
        scope: Cancelled when somebody takes it over, or nobody wants it any more.
    """

    def __init__(self, request: StageRequest, server: Server) -> None:
        self.request = request
        self.task_id = new_task_id(server)
        self.call: Call | None = None
        self.job: Job | None = None
        self.begun = anyio.Event()
        self.scope = anyio.CancelScope()
        self._server = server

    def fits(self, request: StageRequest, server: Server) -> bool:
        """Return whether what was announced is what is asked for now."""
        same = attrs.evolve(self.request, previews=request.previews) == request
        return same and server is self._server

    async def build(self) -> Call:
        """Build its call.

        Raises:
            BackendProtocolError: The picture to start from cannot be read.
        """
        self.call = await call_for(self.request, self._server, self.task_id)
        return self.call

    async def left(self) -> None:
        """Wait until it is on its way, or will not be sent."""
        await self.begun.wait()
        if self.job is not None:
            await self.job.sent.wait()

    async def watch(self) -> None:
        """Look at its job until that is answered, so that it is known whose runs."""
        assert self.job is not None
        while True:
            await self.job.look_is_due()
            if self.job.ended.is_set():
                return
            await self.job.look()

"""A request that was announced: its prompt is put into the queue behind the one under way."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

import anyio
import attrs

from stablenew.backends.base import StageRequest
from stablenew.backends.comfyui.graph import inputs_of
from stablenew.backends.comfyui.job import Job
from stablenew.backends.comfyui.server import Server
from stablenew.backends.comfyui.stage_graphs import StageGraph

_FORCED = "made_again"
"""An input that no node has: the server ignores it, but for that its cache has no such node."""


@attrs.frozen(kw_only=True)
class Prompt:
    """What is sent for a request.

    Attributes:
        graph: What makes the picture.
        nodes: Those of the graph, and those that the server is to keep for others.
    """

    graph: StageGraph
    nodes: Mapping[str, Mapping[str, object]]

    def forced(self) -> Prompt:
        """Return one whose picture the server has to write anew."""
        name = self.graph.output
        inputs = {**inputs_of(self.nodes[name]), _FORCED: uuid4().hex}
        nodes = {**self.nodes, name: {**self.nodes[name], "inputs": inputs}}
        return attrs.evolve(self, nodes=nodes)


@attrs.define(eq=False)
class UnderWay:
    """A picture that is being made, for whatever comes after it in the queue.

    Attributes:
        known: Set when it has a job, or is over.
        job: Its first one; None where there is none.
    """

    known: anyio.Event = attrs.field(factory=anyio.Event)
    job: Job | None = None

    def has(self, job: Job) -> None:
        """Note its job."""
        self.job = self.job or job
        self.known.set()

    async def queued(self) -> bool:
        """Wait until it is in the server's queue; return False where it did not get there."""
        await self.known.wait()
        if self.job is None:
            return False
        await self.job.posted.wait()
        return self.job.error is None and not self.job.hunted


class Announced:
    """A request that is to be sent when what is under way is in the queue.

    Args:
        request: The request.
        server: Who is to make it.

    Attributes:
        sent: Its prompt and its job; None while it is not sent.
        begun: Set when it is sent, or will not be.
        scope: Cancelled when somebody takes it over, or nobody wants it any more.
    """

    def __init__(self, request: StageRequest, server: Server) -> None:
        self.request = request
        self.sent: tuple[Prompt, Job] | None = None
        self.begun = anyio.Event()
        self.scope = anyio.CancelScope()
        self._server = server

    def fits(self, request: StageRequest, server: Server) -> bool:
        """Return whether what was announced is what is asked for now."""
        same = attrs.evolve(self.request, previews=request.previews) == request
        return same and server is self._server

"""Makes pictures on a ComfyUI server: each one prompt, followed by id, and stopped when told."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from uuid import uuid4

import anyio
import anyio.to_thread
import attrs

from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    Picture,
    ReportProgress,
    StageRequest,
)
from stablenew.backends.comfyui.capabilities import NAME
from stablenew.backends.comfyui.feed import Feed
from stablenew.backends.comfyui.graph import inputs_of
from stablenew.backends.comfyui.hearing import Hearing
from stablenew.backends.comfyui.job import JOBS, Job
from stablenew.backends.comfyui.job_ending import detail_of, ending_of
from stablenew.backends.comfyui.job_state import JobState
from stablenew.backends.comfyui.kept_nodes import KeptNodes
from stablenew.backends.comfyui.probe import comfyui_version, probe
from stablenew.backends.comfyui.reading import read_picture
from stablenew.backends.comfyui.server import Server
from stablenew.backends.comfyui.signs_of_life import SignsOfLife
from stablenew.backends.comfyui.stage_graphs import StageGraph, build_graph
from stablenew.backends.comfyui.transfer import fetch, upload
from stablenew.backends.server_client import ServerClient
from stablenew.config.server_url import DEFAULT_COMFYUI_URL, split_url
from stablenew.config.workflow_config import WORKFLOW
from stablenew.errors import (
    BackendError,
    BackendRejectedError,
    BackendUnavailableError,
    ungrouped,
)

logger = logging.getLogger(__name__)

_REPORT = 0.25
_REPORT_AFTER_NEWS = 0.05
"""Seconds between two signs of life, and after something that was heard."""

_INTERRUPT_WITHIN = 4.5
"""Seconds after which an interrupt says what it knows; the job is hunted on."""

_LEAVE_WITHIN = 1.0
"""Seconds to tell the server what nobody wants any more, when all is left."""

_FORCED = "made_again"
"""An input that no node has: the server ignores it, but for that its cache has no such node."""


class ComfyUIBackend:
    """Drives a ComfyUI.

    Args:
        url: Where it is; may hold credentials.
        auth: `user:password`, where what stands before it wants them.
        load_timeout: Seconds that a node may take without a word: one that loads a model, say.
        answer_timeout: Seconds that a quick answer may take.

    Attributes:
        url: Where it is, without credentials.
    """

    name = NAME

    def __init__(
        self,
        url: str = DEFAULT_COMFYUI_URL,
        auth: str | None = None,
        *,
        load_timeout: float = 600.0,
        answer_timeout: float = 10.0,
    ) -> None:
        self.url, auth = split_url(url, auth)
        self._client = ServerClient(self.url, auth, answer_timeout=answer_timeout)
        self._server: Server | None = None
        self._jobs: dict[str, Job] = {}
        self._lost: dict[str, Job] = {}
        self._kept = KeptNodes()
        self._load_timeout = load_timeout
        self._feed: Feed | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            stack.enter_context(ungrouped())
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._stack = stack.pop_all()
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._open = False
        await self._stop_all()
        for request_id in self._jobs:
            logger.warning("%s: left behind on %s, which may work on it", request_id, self.url)
        self._tasks.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, traceback)

    async def capabilities(self) -> Capabilities:
        """Ask the server what it has; a server that came back may be another one.

        Raises:
            BackendUnavailableError: Nobody answers, or no ComfyUI.
            ConfigError: The server wants credentials.
        """
        self._server, capabilities = await probe(self._client)
        return capabilities

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Make one picture.

        Raises:
            BackendUnavailableError: The server went away, or came back and knows nothing of it.
            BackendRejectedError: It said no, or a node failed.
            BackendProtocolError: What it answered is not what was asked for.
        """
        if not self._open:
            raise BackendUnavailableError(f"the backend of {self.url} is not open")
        if self._server is None:
            await self.capabilities()
        assert self._server is not None
        try:
            return [await self._make(request, self._server, report)]
        except ValueError as error:  # a weight of a prompt, which the plan has let through
            raise BackendRejectedError(str(error), stage=request.stage) from error
        except BackendError as error:
            error.stage = error.stage or request.stage
            raise

    async def answers(self) -> bool:
        """Return whether it is a ComfyUI that answers.

        Raises:
            BackendUnavailableError: Nobody answers.
            ConfigError: The server wants credentials.
        """
        return await comfyui_version(self._client) is not None

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job; return when it is gone, or after 4.5 s with what is known.

        A job that is not gone by then is asked to stop again, until it is.
        """
        started = anyio.current_time()
        job = self._jobs.get(request_id)
        if job is None:
            return InterruptReceipt(
                request_id=request_id,
                call="",
                confirmed=True,
                seconds=0.0,
                detail="nothing was under way",
            )
        self._tasks.start_soon(job.hunt)
        with anyio.move_on_after(_INTERRUPT_WITHIN):
            await job.ended.wait()
        return InterruptReceipt(
            request_id=request_id,
            call=f"POST {JOBS}/{job.prompt_id}/cancel × {job.cancels}" if job.cancels else "",
            confirmed=job.gone,
            seconds=anyio.current_time() - started,
            detail=detail_of(job),
        )

    @property
    def pending(self) -> int:
        """How many cancelled jobs the server may still be working on."""
        return len(self._jobs)

    async def drained(self) -> None:
        """Wait until nothing of ours is left on the server."""
        for job in list(self._jobs.values()):
            await job.ended.wait()

    async def _make(self, request: StageRequest, server: Server, report: ReportProgress) -> Picture:
        source = None if request.image is None else await upload(self._client, request.image)
        graph = await anyio.to_thread.run_sync(build_graph, request, server, source)
        nodes = graph.nodes
        if request.stage != WORKFLOW:  # which says itself what is in it
            nodes = self._kept.beside(request.stage, nodes)
        ending = await self._done(request, server, graph, nodes, report)
        cached = graph.output in ending.cached
        if cached:  # its file may be gone, or be another picture by now
            again = _forced(nodes, graph.output)
            ending = await self._done(request, server, graph, again, report)
        data = await fetch(self._client, ending, graph.output)
        picture = await anyio.to_thread.run_sync(
            read_picture, data, request, graph, server.version, cached
        )
        count = len(ending.files(graph.output))
        if count > 1:
            note = f"node {graph.output} gave {count} pictures, of which the first is kept"
            picture = attrs.evolve(picture, warnings=(*picture.warnings, note))
        return picture

    async def _done(
        self,
        request: StageRequest,
        server: Server,
        graph: StageGraph,
        nodes: Mapping[str, Mapping[str, object]],
        report: ReportProgress,
    ) -> JobState:
        """Have a prompt run to its end."""
        lost = self._lost.pop(request.request_id, None)
        body: dict[str, object] = {"prompt": nodes, "client_id": await self._listener()}
        if request.previews:
            body["extra_data"] = {"preview_method": "auto"}
        job = Job(
            self._client,
            server,
            request.request_id,
            lost.prompt_id if lost is not None else str(uuid4()),
            body,
            Hearing(graph.nodes, graph.steps),
            sent_before=lost is not None,
        )
        self._jobs[request.request_id] = job
        self._tasks.start_soon(self._run, job)
        try:
            with ungrouped():
                async with anyio.create_task_group() as watching:
                    watching.start_soon(self._watch, job, report)
                    await job.ended.wait()
                    watching.cancel_scope.cancel()
        except Exception:  # who watches has failed: nobody waits for the picture any more
            self._tasks.start_soon(job.hunt)
            raise
        if isinstance(job.error, BackendUnavailableError):
            self._lost[request.request_id] = job
        return ending_of(job)

    async def _stop_all(self) -> None:
        """Ask the server to stop what is under way, and what was lost with the way to it."""
        left = [*self._jobs.values(), *self._lost.values()]
        with anyio.move_on_after(_LEAVE_WITHIN, shield=bool(left)):
            for job in left:
                await job.stop()

    async def _run(self, job: Job) -> None:
        try:
            await job.run()
        finally:
            if self._jobs.get(job.request_id) is job:
                del self._jobs[job.request_id]

    async def _watch(self, job: Job, report: ReportProgress) -> None:
        """Report a job's progress, and whatever else is a sign that it is under way."""
        hearing, signs = job.hearing, SignsOfLife(job, self._load_timeout)
        while True:
            hearing.news = anyio.Event()
            if signs.alive():
                await report(
                    hearing.fraction, seconds_left=hearing.seconds_left, preview=hearing.shown()
                )
            with anyio.move_on_after(_REPORT):
                await hearing.news.wait()
                await anyio.sleep(_REPORT_AFTER_NEWS)

    async def _listener(self) -> str:
        """Return the name of the socket that is told of the next prompt; any if there is none."""
        if self._feed is None:
            self._feed = Feed(self._client, self._heard_of, self._ended)
            self._tasks.start_soon(self._feed.run)
        await self._feed.ready()
        return self._feed.name or uuid4().hex

    def _heard_of(self, prompt_id: str) -> Hearing | None:
        job = self._with_id(prompt_id)
        return None if job is None else job.hearing

    def _ended(self, prompt_id: str) -> None:
        if (job := self._with_id(prompt_id)) is not None:
            job.look_now()

    def _with_id(self, prompt_id: str) -> Job | None:
        return next((job for job in self._jobs.values() if job.prompt_id == prompt_id), None)


def _forced(
    nodes: Mapping[str, Mapping[str, object]], node: str
) -> dict[str, Mapping[str, object]]:
    """Return a graph whose picture the server has to write anew."""
    output = nodes[node]
    inputs = {**inputs_of(output), _FORCED: uuid4().hex}
    return {**nodes, node: {**output, "inputs": inputs}}

"""Makes pictures on a ComfyUI server: each one prompt, followed by id, and stopped when told."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from urllib.parse import urlencode
from uuid import uuid4

import anyio
import anyio.to_thread

from stablenew.backends.answers import Answer, read_json, refusal
from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    Picture,
    ReportProgress,
    StageRequest,
)
from stablenew.backends.comfyui.capabilities import NAME
from stablenew.backends.comfyui.job import JOBS, Job
from stablenew.backends.comfyui.job_state import Status
from stablenew.backends.comfyui.kept_nodes import KeptNodes
from stablenew.backends.comfyui.probe import comfyui_version, probe
from stablenew.backends.comfyui.reading import read_picture
from stablenew.backends.comfyui.server import Server
from stablenew.backends.comfyui.stage_graphs import OUTPUT, Source, build_graph
from stablenew.backends.comfyui.upload import build_upload
from stablenew.backends.server_client import ServerClient
from stablenew.config.server_url import DEFAULT_COMFYUI_URL, split_url
from stablenew.errors import (
    BackendError,
    BackendProtocolError,
    BackendRejectedError,
    BackendUnavailableError,
    ungrouped,
)

logger = logging.getLogger(__name__)

_REPORT = 0.25
"""Seconds between two signs of life."""

_INTERRUPT_WITHIN = 4.5
"""Seconds after which an interrupt says what it knows; the job is hunted on."""

_FORCED = "made_again"
"""An input that no node has: the server ignores it, but for that its cache has no such node."""


class ComfyUIBackend:
    """Drives a ComfyUI.

    Args:
        url: Where it is; may hold credentials.
        auth: `user:password`, where what stands before it wants them.
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
        answer_timeout: float = 10.0,
    ) -> None:
        self.url, auth = split_url(url, auth)
        self._client = ServerClient(self.url, auth, answer_timeout=answer_timeout)
        self._server: Server | None = None
        self._jobs: dict[str, Job] = {}
        self._lost: dict[str, str] = {}
        self._kept = KeptNodes()
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
            detail=_told(job),
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
        source = None if request.image is None else await self._uploaded(request.image)
        graph = build_graph(request, server, source)
        nodes = self._kept.beside(request.stage, graph.nodes)
        job = await self._done(request, server, nodes, report)
        assert job.state is not None
        cached = OUTPUT in job.state.cached
        if cached:  # its file may be gone, or be another picture by now
            job = await self._done(request, server, _forced(nodes, job.prompt_id), report)
        data = await self._picture(job)
        return await anyio.to_thread.run_sync(
            read_picture, data, request, graph, server.version, cached
        )

    async def _done(
        self,
        request: StageRequest,
        server: Server,
        nodes: Mapping[str, Mapping[str, object]],
        report: ReportProgress,
    ) -> Job:
        """Have a prompt run to its end."""
        lost = self._lost.pop(request.request_id, None)
        job = Job(
            self._client,
            server,
            request.request_id,
            lost or str(uuid4()),
            {"prompt": nodes, "client_id": uuid4().hex},
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
        if job.error is not None:
            if isinstance(job.error, BackendUnavailableError):
                self._lost[request.request_id] = job.prompt_id
            raise job.error
        _check(job)
        return job

    async def _run(self, job: Job) -> None:
        try:
            await job.run()
        finally:
            if self._jobs.get(job.request_id) is job:
                del self._jobs[job.request_id]

    async def _watch(self, job: Job, report: ReportProgress) -> None:
        """Report whatever is a sign that a job is under way: that the server has it."""
        seen = 0
        while True:
            if job.seen != seen:
                seen = job.seen
                await report(0.0)
            await anyio.sleep(_REPORT)

    async def _uploaded(self, image: bytes) -> Source:
        form = await anyio.to_thread.run_sync(build_upload, image)
        answer = await self._client.ask(
            "POST", "/upload/image", form.content, content_type=form.content_type
        )
        if answer.status == 413:
            raise BackendRejectedError(
                f"the picture to start from ({len(image):,} bytes) is larger than the server takes"
                " (its --max-upload-size)",
                status=413,
            )
        told = _read(answer, "POST /upload/image")
        folder, name = (str(told.get(key) or "") for key in ("subfolder", "name"))
        return Source(name=f"{folder}/{name}" if folder else name, size=form.size)

    async def _picture(self, job: Job) -> bytes:
        assert job.state is not None
        files = job.state.files(OUTPUT)
        if not files:
            raise BackendProtocolError("asked for 1 picture, got 0: the server says success")
        named = {key: str(files[0].get(key) or "") for key in ("filename", "subfolder", "type")}
        answer = await self._client.ask("GET", f"/view?{urlencode(named)}")
        if answer.status == 404:
            message = f"the server made {named['filename']}, and has no such file any more"
            raise BackendProtocolError(message, retryable=True)
        if answer.status >= 400:
            raise refusal(answer, "GET /view")
        return bytes(answer.body)


def _forced(
    nodes: Mapping[str, Mapping[str, object]], mark: str
) -> dict[str, Mapping[str, object]]:
    """Return a graph whose picture the server has to write anew."""
    output = nodes[OUTPUT]
    inputs = output["inputs"]
    assert isinstance(inputs, Mapping)
    return {**nodes, OUTPUT: {**output, "inputs": {**inputs, _FORCED: mark}}}


def _check(job: Job) -> None:
    """See that a job ended as it should.

    Raises:
        BackendError: It did not.
    """
    assert job.state is not None
    status = job.state.status
    if status is Status.FAILED:
        raise BackendRejectedError(job.state.error, excerpt=job.state.error)
    if status is Status.CANCELLED:
        raise BackendProtocolError("somebody else interrupted the job")
    if status is Status.NOWHERE:
        raise BackendUnavailableError(
            "the server knows nothing of the job any more: it was restarted, or somebody removed"
            " the job from its queue",
            retryable=True,
        )


def _told(job: Job) -> str:
    """Return what a receipt has to say beside whether the job is gone."""
    if not job.gone:
        why = str(job.error) if job.error else "the server was asked, and is still at it"
        return f"unconfirmed: {why}"
    assert job.state is not None
    return {
        Status.NOWHERE: "it had not begun" if job.cancels else "",
        Status.COMPLETED: "it was done before it could be stopped",
        Status.FAILED: "it had failed",
    }.get(job.state.status, "")


def _read(answer: Answer, doing: str) -> Mapping[str, object]:
    if answer.status >= 400:
        raise refusal(answer, doing)
    told = read_json(answer)
    if not isinstance(told, dict):
        raise BackendProtocolError(f"{doing}: the answer is no object")
    return told

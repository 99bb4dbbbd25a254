"""Makes pictures on a ComfyUI server: each one prompt, followed by id, and stopped when told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4

import anyio
import anyio.to_thread
import attrs
from anyio.lowlevel import checkpoint_if_cancelled

from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    Picture,
    ReportProgress,
    StageRequest,
)
from stablenew.backends.comfyui.announced import Announced, Prompt, UnderWay
from stablenew.backends.comfyui.capabilities import NAME
from stablenew.backends.comfyui.feed import Feed
from stablenew.backends.comfyui.hearing import Hearing
from stablenew.backends.comfyui.job import Job
from stablenew.backends.comfyui.job_ending import ending_of, receipt_of
from stablenew.backends.comfyui.job_state import JobState
from stablenew.backends.comfyui.kept_nodes import KeptNodes
from stablenew.backends.comfyui.probe import probe, system_stats
from stablenew.backends.comfyui.reading import read_picture
from stablenew.backends.comfyui.server import Server
from stablenew.backends.comfyui.stage_graphs import build_graph
from stablenew.backends.comfyui.transfer import fetch, upload
from stablenew.backends.comfyui.watching import follow
from stablenew.backends.server_client import ServerClient
from stablenew.backends.server_jobs import ServerJobs
from stablenew.config.server_url import DEFAULT_COMFYUI_URL, split_url
from stablenew.config.workflow_config import WORKFLOW
from stablenew.errors import BackendError, BackendRejectedError, BackendUnavailableError

logger = logging.getLogger(__name__)

_LEAVES_WITHIN = 0.2
"""Seconds that whoever announces something waits for it to leave."""

_LEAVE_WITHIN = 1.0
"""Seconds to tell the server what nobody wants any more, when all is left."""


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
        self._jobs: ServerJobs[Job] = ServerJobs(self._client)
        self._lost: dict[str, Job] = {}
        self._under_way: UnderWay | None = None
        self._ahead: Announced | None = None
        self._kept = KeptNodes()
        self._load_timeout = load_timeout
        self._feed: Feed | None = None

    async def __aenter__(self) -> Self:
        await self._jobs.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._jobs.open = False
        if self._ahead is not None:
            self._ahead.scope.cancel()
        await self._stop_all()
        self._jobs.abandon()
        return await self._jobs.__aexit__(kind, error, traceback)

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
        if not self._jobs.open:
            raise BackendUnavailableError(f"the backend of {self.url} is not open")
        if self._server is None:
            await self.capabilities()
        assert self._server is not None
        ahead, self._ahead = self._ahead, None  # what is announced from now on comes after this
        self._under_way = under_way = UnderWay()
        try:
            begun = await self._begun(request, self._server, ahead)
            return [await self._make(request, self._server, report, begun, under_way)]
        except ValueError as error:  # a weight of a prompt, which the plan has let through
            raise BackendRejectedError(str(error), stage=request.stage) from error
        except BackendError as error:
            error.stage = error.stage or request.stage
            raise
        finally:
            under_way.known.set()
            if self._under_way is under_way:
                self._under_way = None
            if ahead is not None:
                ahead.scope.cancel()

    async def announce(self, request: StageRequest) -> None:
        """Take note of what is asked for next: it joins the queue behind what is under way."""
        if not self._jobs.open or self._server is None:
            return
        if self._ahead is not None:
            if self._ahead.sent is not None or self._ahead.fits(request, self._server):
                return
            self._ahead.scope.cancel()
        self._ahead = ahead = Announced(request, self._server)
        self._jobs.tasks.start_soon(self._begin, ahead, self._server, self._under_way)
        if self._under_way is None:
            with anyio.move_on_after(_LEAVES_WITHIN):
                await ahead.begun.wait()

    async def answers(self) -> bool:
        """Return whether it is a ComfyUI that answers.

        Raises:
            BackendUnavailableError: Nobody answers.
            ConfigError: The server wants credentials.
        """
        return await system_stats(self._client) is not None

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job; return when it is gone, or after 4.5 s with what is known.

        A job that is not gone by then is asked to stop again, until it is.
        """
        self._drop(request_id)
        job = self._jobs.get(request_id)
        if job is None:
            return InterruptReceipt.of_nothing(request_id)
        return receipt_of(job, await self._jobs.stop(job))

    @property
    def pending(self) -> int:
        """How many cancelled jobs the server may still be working on."""
        return len(self._jobs)

    @property
    def left_behind(self) -> Sequence[str]:
        """What the server may still do for us, one line each: nobody stops it once we are gone."""
        return self._jobs.left_behind

    async def drained(self) -> None:
        """Wait until nothing of ours is left on the server."""
        await self._jobs.drained()

    def _drop(self, request_id: str) -> None:
        """Let go of what was announced, if it is this, or if what it follows was cut short."""
        ahead, now = self._ahead, self._under_way
        if ahead is None or (ahead.request.request_id != request_id and now is not None):
            return
        self._ahead = None
        self._let_go(ahead)

    def _let_go(self, ahead: Announced) -> None:
        ahead.scope.cancel()
        if ahead.sent is None:
            return
        job = ahead.sent[1]
        if isinstance(job.error, BackendUnavailableError):
            self._lost[job.request_id] = job  # it may be there all the same
        elif not job.ended.is_set():
            self._jobs.hunt(job)

    async def _begun(
        self, request: StageRequest, server: Server, ahead: Announced | None
    ) -> tuple[Prompt, Job] | None:
        """Return what was begun of a request; what was announced in its place is stopped."""
        if ahead is None:
            return None
        if not ahead.fits(request, server):
            self._let_go(ahead)
            await self.interrupt(ahead.request.request_id)
            return None
        await ahead.begun.wait()
        ahead.scope.cancel()
        return ahead.sent

    async def _begin(self, ahead: Announced, server: Server, before: UnderWay | None) -> None:
        """Put what was announced into the queue, as soon as what comes before it is there."""
        request = ahead.request
        try:
            with ahead.scope:
                if before is None or await before.queued():
                    prompt = await self._prompt(request, server)
                    ahead.sent = prompt, await self._sent(request, server, prompt)
                    await ahead.sent[1].posted.wait()
        except (BackendError, ValueError) as error:  # told when it is asked for
            logger.debug("%s: not begun: %s", request.request_id, error)
        finally:
            ahead.begun.set()
            if ahead.sent is None and self._ahead is ahead:
                self._ahead = None

    async def _prompt(self, request: StageRequest, server: Server) -> Prompt:
        """Return what is to be sent; the picture to start from is there then."""
        source = None if request.image is None else await upload(self._client, request.image)
        graph = await anyio.to_thread.run_sync(build_graph, request, server, source)
        if request.stage == WORKFLOW:  # which says itself what is in it
            return Prompt(graph=graph, nodes=graph.nodes)
        return Prompt(graph=graph, nodes=self._kept.beside(request.stage, graph.nodes))

    async def _make(
        self,
        request: StageRequest,
        server: Server,
        report: ReportProgress,
        begun: tuple[Prompt, Job] | None,
        under_way: UnderWay,
    ) -> Picture:
        if begun is None:
            prompt = await self._prompt(request, server)
            begun = prompt, await self._sent(request, server, prompt)
        prompt, job = begun
        under_way.has(job)
        ending = await self._done(job, report)
        graph = prompt.graph
        cached = graph.output in ending.cached
        if cached:  # its file may be gone, or be another picture by now
            job = await self._sent(request, server, prompt.forced())
            ending = await self._done(job, report)
        data = await fetch(self._client, ending, graph.output)
        picture = await anyio.to_thread.run_sync(
            read_picture, data, request, graph, server.version, cached
        )
        count = len(ending.files(graph.output))
        if count > 1:
            note = f"node {graph.output} gave {count} pictures, of which the first is kept"
            picture = attrs.evolve(picture, warnings=(*picture.warnings, note))
        return attrs.evolve(picture, seconds=job.seconds)

    async def _sent(self, request: StageRequest, server: Server, prompt: Prompt) -> Job:
        """Have a prompt sent, and return its job."""
        body: dict[str, object] = {"prompt": prompt.nodes, "client_id": await self._listener()}
        if request.previews:
            body["extra_data"] = {"preview_method": "auto"}
        await checkpoint_if_cancelled()  # whoever gave it up has looked for its job already
        lost = self._lost.pop(request.request_id, None)
        job = Job(
            self._client,
            server,
            request.request_id,
            lost.prompt_id if lost is not None else str(uuid4()),
            body,
            Hearing(prompt.graph.nodes, prompt.graph.steps),
            sent_before=lost is not None,
        )
        self._jobs.start(job)
        return job

    async def _done(self, job: Job, report: ReportProgress) -> JobState:
        """Follow a prompt to its end."""
        try:
            await follow(job, report, self._load_timeout)
        except Exception:  # who watches has failed: nobody waits for the picture any more
            self._jobs.hunt(job)
            raise
        if isinstance(job.error, BackendUnavailableError):
            self._lost[job.request_id] = job
        return ending_of(job)

    async def _stop_all(self) -> None:
        """Ask the server to stop what is under way, and what was lost with the way to it."""
        left = [*self._jobs, *self._lost.values()]
        with anyio.move_on_after(_LEAVE_WITHIN, shield=bool(left)):
            for job in left:
                await job.stop()

    async def _listener(self) -> str:
        """Return the name of the socket that is told of the next prompt; any if there is none."""
        if self._feed is None:
            self._feed = Feed(self._client, self._heard_of, self._ended)
            self._jobs.tasks.start_soon(self._feed.run)
        await self._feed.ready()
        return self._feed.name or uuid4().hex

    def _heard_of(self, prompt_id: str) -> Hearing | None:
        job = self._with_id(prompt_id)
        return None if job is None else job.hearing

    def _ended(self, prompt_id: str) -> None:
        if (job := self._with_id(prompt_id)) is not None:
            job.look_now()

    def _with_id(self, prompt_id: str) -> Job | None:
        return next((job for job in self._jobs if job.prompt_id == prompt_id), None)

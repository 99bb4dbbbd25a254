"""Makes pictures on a WebUI server: one at a time, watched, and stopped when told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self
from uuid import uuid4

import anyio
import anyio.to_thread

from stablenew.backends.answers import Answer, refusal
from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    Picture,
    ReportProgress,
    StageRequest,
)
from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.calls import Call, build_call
from stablenew.backends.webui.capabilities import describe
from stablenew.backends.webui.holder import Holder
from stablenew.backends.webui.job import INTERRUPT, Job
from stablenew.backends.webui.own_options import OwnOptions
from stablenew.backends.webui.probe import probe
from stablenew.backends.webui.progress import PROGRESS, Snapshot, read_snapshot
from stablenew.backends.webui.reading import read_picture
from stablenew.backends.webui.sdnext.faults import explained
from stablenew.backends.webui.sdnext.outer_job import look_inside
from stablenew.backends.webui.sdnext.session import Session
from stablenew.backends.webui.server import Flavour, Server
from stablenew.backends.webui.signs_of_life import SignsOfLife
from stablenew.config.server_url import DEFAULT_URL, split_url
from stablenew.errors import (
    BackendError,
    BackendProtocolError,
    BackendUnavailableError,
    ungrouped,
)

logger = logging.getLogger(__name__)

_FIRST_LOOK = 0.05
_LOOK = 0.25
"""Seconds between two looks at the progress: four a second, below the ten that are allowed."""

_INTERRUPT_WITHIN = 4.5
"""Seconds after which an interrupt says what it knows; the job is hunted on."""

_FORGOTTEN_AFTER = 5.0
"""Seconds of an idle server after which it is taken to have forgotten a job."""


class WebUIBackend:
    """Drives AUTOMATIC1111, Forge, reForge, SD.Next or sd-server, without being told which.

    Args:
        url: Where it is; may hold credentials.
        auth: `user:password`, where the server wants them.
        load_timeout: Seconds that a job may take until its first step: a model is loaded then.
        answer_timeout: Seconds that a quick answer may take.

    Attributes:
        url: Where it is, without credentials.
    """

    name = "webui"

    def __init__(
        self,
        url: str = DEFAULT_URL,
        auth: str | None = None,
        *,
        load_timeout: float = 600.0,
        answer_timeout: float = 10.0,
    ) -> None:
        self.url, auth = split_url(url, auth)
        self._client = ServerClient(self.url, auth, answer_timeout=answer_timeout)
        self._load_timeout = load_timeout
        self._server: Server | None = None
        self._own_options: OwnOptions | None = None
        self._session: Session | None = None
        self._jobs: dict[str, Job] = {}
        self._lost: list[str] = []
        self._open = False

    async def __aenter__(self) -> Self:
        self._turn = anyio.Lock()
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
        for line in self.left_behind:
            logger.warning("%s", line)
        self._tasks.cancel_scope.cancel()
        if self._session is not None:
            await self._session.put_back()
        return await self._stack.__aexit__(kind, error, traceback)

    async def capabilities(self) -> Capabilities:
        """Ask the server what it is and has; a server that came back may be another one.

        Raises:
            BackendUnavailableError: Nobody answers, or no WebUI.
            ConfigError: The server wants credentials.
        """
        self._server = await probe(self._client)
        if self._server.flavour is Flavour.SDNEXT:
            self._session = self._session or Session(self._client, self._load_timeout)
            self._server = self._session.found(self._server)
        self._own_options = OwnOptions(self._client, self._server)
        return describe(self._server)

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Make one picture.

        Raises:
            BackendUnavailableError: The server went away; what it may still have been doing for us
                was stopped, as far as that could be done.
            BackendRejectedError: It said no.
            BackendProtocolError: What it answered is not what was asked for.
        """
        if not self._open:
            raise BackendUnavailableError(f"the backend of {self.url} is not open")
        if self._server is None:
            await self.capabilities()
        assert self._server is not None
        try:
            async with self._turn:
                await self._earlier_gone(report)
                return [await self._make(request, self._server, report)]
        except BackendError as error:
            error.stage = error.stage or request.stage
            raise

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job; return when it is gone, or after 4.5 s with what is known.

        A job that is not gone by then is watched on, and stopped as soon as it is known to run.
        """
        job = self._jobs.get(request_id)
        if job is None:
            return InterruptReceipt(
                request_id=request_id,
                call="",
                confirmed=True,
                seconds=0.0,
                detail="nothing was under way",
            )
        started = anyio.current_time()
        self._tasks.start_soon(job.hunt)
        with anyio.move_on_after(_INTERRUPT_WITHIN):
            await job.answered.wait()
        gone = job.answered.is_set() and job.gone
        detail = "" if gone else f"unconfirmed: {job.why_not()}"
        if gone and self._server is not None and not self._server.interrupt:
            detail = f"{self._server.flavour} has no interrupt; the job was done by itself"
        return InterruptReceipt(
            request_id=request_id,
            call=f"POST {INTERRUPT} × {job.interrupts}" if job.interrupts else "",
            confirmed=gone,
            seconds=anyio.current_time() - started,
            detail=detail,
        )

    @property
    def pending(self) -> int:
        """How many cancelled jobs the server may still be working on."""
        return len(self._jobs)

    @property
    def left_behind(self) -> Sequence[str]:
        """What the server may still do for us, one line each: nobody stops that once we are gone.

        The jobs that are under way, and those that were cancelled and whose answer was lost.
        """
        return [*self._lost, *map(self._left, self._jobs.values())]

    def _left(self, job: Job) -> str:
        return f"left behind on {self.url}: {job.request_id}: {job.why_left()}"

    async def drained(self) -> None:
        """Wait until nothing of ours is left that can be stopped; each is when it begins."""
        for job in list(self._jobs.values()):
            if job.stoppable:
                await job.answered.wait()

    async def _make(self, request: StageRequest, server: Server, report: ReportProgress) -> Picture:
        task_id = f"task({uuid4().hex})" if server.task_ids else None
        call = await anyio.to_thread.run_sync(build_call, request, server, task_id)
        ask = partial(self._answered, request, call, server, report, task_id)
        if self._session is None:
            job, answer = await ask()
        else:
            job, answer = await self._session.answered(call, report, ask)
            self._session.put_back_later(self._tasks, self._turn)
        if answer.status >= 400:
            raise explained(refusal(answer, f"POST {call.path}"), call.kind)
        return await self._looked_at(job, answer, call, server)

    async def _answered(
        self,
        request: StageRequest,
        call: Call,
        server: Server,
        report: ReportProgress,
        task_id: str | None,
    ) -> tuple[Job, Answer]:
        """Send a call and watch it until it is answered, whatever the answer's status."""
        before = await self._look(server)
        assert self._own_options is not None
        if self._own_options.due(call.settings):
            if before is None or before.idle:
                await self._own_options.write(call.settings)
                before = await self._look(server)
            else:
                self._own_options.sent(call.settings)
        job = Job(self._client, server, request.request_id, task_id, call, before)
        self._jobs[request.request_id] = job
        self._tasks.start_soon(self._run, job)
        try:
            with ungrouped():
                async with anyio.create_task_group() as watching:
                    watching.start_soon(self._watch, job, call, report, request.previews)
                    await job.answered.wait()
                    watching.cancel_scope.cancel()
        except Exception:  # who watches has failed: nobody waits for the picture any more
            self._tasks.start_soon(job.hunt)
            raise
        if job.answer is None:
            assert job.error is not None
            raise job.error
        return job, job.answer

    async def _looked_at(self, job: Job, answer: Answer, call: Call, server: Server) -> Picture:
        """Return the picture of an answer; somebody else may have stopped the job."""
        after: list[Snapshot | None] = []

        async def look_after() -> None:
            """Look again; the picture is here, so no answer is no error."""
            try:
                after.append(read_snapshot(await self._client.get(PROGRESS, tries=1)))
            except BackendError as error:
                logger.debug("%s: %s", self.url, error)

        with ungrouped():
            async with anyio.create_task_group() as looking:
                if server.progress:
                    looking.start_soon(look_after)
                made = await anyio.to_thread.run_sync(read_picture, answer, call, server)
        names = {made.timestamp, job.timestamp} - {""}
        stopped = any(each and each.interrupted and each.timestamp in names for each in after)
        if stopped or job.stopped_by_others:
            raise BackendProtocolError(
                "somebody else interrupted the job; its picture is half done"
            )
        return made.picture

    async def _run(self, job: Job) -> None:
        try:
            await job.run()
        finally:
            if self._jobs.get(job.request_id) is job:
                del self._jobs[job.request_id]
            if job.hunted and job.answered.is_set() and not job.gone:
                self._lost.append(self._left(job))

    async def _watch(self, job: Job, call: Call, report: ReportProgress, previews: bool) -> None:
        """Report a job's progress, and whatever else is a sign that it is under way."""
        watched = SignsOfLife(self._load_timeout, call)
        await anyio.sleep(_FIRST_LOOK)
        while True:
            snapshot = await job.look(preview=previews)
            if watched.alive(job, snapshot):
                image = await _preview(snapshot) if previews and snapshot else None
                left = snapshot.seconds_left if snapshot and job.holder is Holder.OURS else None
                await report(watched.furthest, seconds_left=left, preview=image)
            await anyio.sleep(_LOOK)

    async def _earlier_gone(self, report: ReportProgress) -> None:
        """Wait for jobs of ours that nobody wants any more: one generation at a time.

        Waiting is a sign of life only as long as the server does something. One that stays idle has
        forgotten the job.
        """
        for job in list(self._jobs.values()):
            watched = SignsOfLife(self._load_timeout, None)
            idle_since = anyio.current_time()
            while not job.answered.is_set():
                snapshot = await job.look()
                if snapshot is None or not snapshot.idle:
                    idle_since = anyio.current_time()
                elif anyio.current_time() - idle_since > _FORGOTTEN_AFTER:
                    job.forget()
                if watched.alive(job, snapshot):
                    await report(0.0)
                with anyio.move_on_after(_LOOK):
                    await job.answered.wait()

    async def _look(self, server: Server) -> Snapshot | None:
        """Return what the server is doing right now."""
        if server.flavour is Flavour.SDNEXT:  # whose other answer counts against its limit
            return await look_inside(self._client)
        return read_snapshot(await self._client.get(PROGRESS)) if server.progress else None


async def _preview(snapshot: Snapshot) -> bytes | None:
    import pybase64

    if snapshot.preview is None:
        return None
    try:
        return await anyio.to_thread.run_sync(pybase64.b64decode, snapshot.preview)
    except ValueError:  # what is no picture is no reason to fail one
        return None

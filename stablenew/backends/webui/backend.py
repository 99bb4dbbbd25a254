"""Makes pictures on a WebUI server: one at a time, watched, and stopped when told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Self

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from stablenew.backends.answers import Answer, refusal
from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    Picture,
    ReportProgress,
    StageRequest,
)
from stablenew.backends.server_client import ServerClient
from stablenew.backends.server_jobs import STOPPED_WITHIN, ServerJobs
from stablenew.backends.webui.announced import Announced, new_task_id
from stablenew.backends.webui.calls import Call, call_for
from stablenew.backends.webui.capabilities import describe
from stablenew.backends.webui.job import Job
from stablenew.backends.webui.own_options import OwnOptions
from stablenew.backends.webui.probe import probe
from stablenew.backends.webui.progress import Snapshot
from stablenew.backends.webui.receipts import receipt_of
from stablenew.backends.webui.sdnext.faults import explained
from stablenew.backends.webui.sdnext.session import Session
from stablenew.backends.webui.server import Flavour, Server
from stablenew.backends.webui.under_way import Glance, UnderWay, look_at
from stablenew.backends.webui.watching import follow, wait_for
from stablenew.config.server_url import DEFAULT_URL, split_url
from stablenew.errors import BackendError, BackendUnavailableError

logger = logging.getLogger(__name__)

_LEAVES_WITHIN = 0.1
"""Seconds that an answer is left alone, so that the next request is on its way first."""


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
        self._jobs: ServerJobs[Job] = ServerJobs(self._client)
        self._under_way: UnderWay | None = None
        self._ahead: Announced | None = None

    async def __aenter__(self) -> Self:
        self._turn = anyio.Lock()
        await self._jobs.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if self._ahead is not None:
            with anyio.move_on_after(2 * STOPPED_WITHIN, shield=True):
                await self.interrupt(self._ahead.request.request_id)
        self._jobs.abandon()
        if self._session is not None:
            await self._session.put_back()
        return await self._jobs.__aexit__(kind, error, traceback)

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
        if not self._jobs.open:
            raise BackendUnavailableError(f"the backend of {self.url} is not open")
        if self._server is None:
            await self.capabilities()
        assert self._server is not None
        ahead, self._ahead = self._ahead, None  # what is announced from now on comes after this
        self._under_way = under_way = UnderWay()
        try:
            async with self._turn:
                begun = await self._begun(request, self._server, ahead)
                job = None if begun is None else begun[1]
                others = [each for each in self._jobs if each is not job]
                await wait_for(others, report, self._load_timeout)
                return [await self._make(request, self._server, report, begun, under_way)]
        except BackendError as error:
            error.stage = error.stage or request.stage
            raise
        finally:
            under_way.ended.set()
            if self._under_way is under_way:
                self._under_way = None
            if ahead is not None:
                ahead.scope.cancel()

    async def announce(self, request: StageRequest) -> None:
        """Take note of what is asked for next, and send it when what is under way is answered.

        An SD.Next is told of nothing: its requests are paced, and may have to be sent again.
        """
        if not self._jobs.open or self._server is None or self._session is not None:
            return
        if self._ahead is not None:
            if self._ahead.job is not None or self._ahead.fits(request, self._server):
                return
            self._ahead.scope.cancel()
        self._ahead = Announced(request, self._server)
        self._jobs.tasks.start_soon(self._begin, self._ahead, self._under_way)
        if self._under_way is None:
            await self._next_leaves()

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job; return when it is gone, or after 4.5 s with what is known.

        A job that is not gone by then is watched on, and stopped as soon as it is known to run.
        """
        job = self._jobs.get(request_id) or self._dropped(request_id)
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
        """Wait until nothing of ours is left that can be stopped; each is when it begins."""
        await self._jobs.drained()

    async def _next_leaves(self) -> None:
        """Let what was announced leave first, if it can right now."""
        if self._ahead is not None:
            with anyio.move_on_after(_LEAVES_WITHIN):
                await self._ahead.left()

    def _dropped(self, request_id: str) -> Job | None:
        """Let go of what was announced, if it is this; return its job if there is one."""
        ahead = self._ahead
        if ahead is None or ahead.request.request_id != request_id:
            return None
        self._ahead = None
        ahead.scope.cancel()
        if ahead.job is not None:
            self._jobs.note_left(ahead.job)
        return ahead.job

    async def _begun(
        self, request: StageRequest, server: Server, ahead: Announced | None
    ) -> tuple[Call, Job] | None:
        """Return what was begun of a request; what was announced in its place is stopped."""
        if ahead is None:
            return None
        if not ahead.fits(request, server):
            ahead.scope.cancel()
            await self.interrupt(ahead.request.request_id)
            return None
        await ahead.begun.wait()
        ahead.scope.cancel()
        return None if ahead.job is None or ahead.call is None else (ahead.call, ahead.job)

    async def _begin(self, ahead: Announced, before: UnderWay | None) -> None:
        """Send what was announced, as soon as what comes before it is answered."""
        request = ahead.request
        try:
            with ahead.scope:
                call = await ahead.build()
                if before is not None:
                    await before.ended.wait()
                if (before is None or before.well) and not self._jobs:
                    ahead.job = await self._sent(request, call, ahead.task_id, before)
                    ahead.begun.set()
                    await ahead.watch()
        except BackendError as error:  # told when it is asked for
            logger.debug("%s: not begun: %s", request.request_id, error)
        finally:
            ahead.begun.set()
            if ahead.job is None and self._ahead is ahead:
                self._ahead = None

    async def _make(
        self,
        request: StageRequest,
        server: Server,
        report: ReportProgress,
        begun: tuple[Call, Job] | None,
        under_way: UnderWay,
    ) -> Picture:
        if begun is not None:
            call, job = begun
            answer = await self._followed(job, call, report, request.previews)
        else:
            task_id = new_task_id(server)
            call = await call_for(request, server, task_id)
            ask = partial(self._answered, request, call, report, task_id)
            if self._session is None:
                job, answer = await ask()
            else:
                job, answer = await self._session.answered(call, report, ask)
                self._session.put_back_later(self._jobs.tasks, self._turn)
        under_way.answered(job)
        await self._next_leaves()
        if answer.status >= 400:
            raise explained(refusal(answer, f"POST {call.path}"), call.kind)
        return await under_way.picture(self._client, job, call, server)

    async def _answered(
        self, request: StageRequest, call: Call, report: ReportProgress, task_id: str | None
    ) -> tuple[Job, Answer]:
        """Send a call and watch it until it is answered, whatever the answer's status."""
        job = await self._sent(request, call, task_id)
        return job, await self._followed(job, call, report, request.previews)

    async def _sent(
        self,
        request: StageRequest,
        call: Call,
        task_id: str | None,
        before: UnderWay | None = None,
    ) -> Job:
        """Send a call; look first at what the server is doing, where nothing else tells it later.

        And in any case where `before` was answered just now, and is to be looked after as well.
        """
        server = self._server
        assert server is not None
        assert self._own_options is not None
        seen: Snapshot | None = None
        due = self._own_options.due(call.settings)
        if due or task_id is None or call.kind == "extras":
            seen = await look_at(self._client, server)
            if before is not None:
                before.after = Glance.of(seen)
            if due and (seen is None or seen.idle):
                await self._own_options.write(call.settings)
                seen = await look_at(self._client, server)
            elif due:
                self._own_options.sent(call.settings)
        elif before is not None and server.progress:
            before.after = glance = Glance()
            self._jobs.tasks.start_soon(glance.take, self._client)
            await glance.written.wait()
        await checkpoint_if_cancelled()  # whoever gave it up has looked for its job already
        job = Job(self._client, server, request.request_id, task_id, call, seen)
        self._jobs.start(job)
        return job

    async def _followed(
        self, job: Job, call: Call, report: ReportProgress, previews: bool
    ) -> Answer:
        """Return the answer to a job, whatever its status; nobody waits for one that has failed."""
        try:
            return await follow(
                job, call, report, previews=previews, load_timeout=self._load_timeout
            )
        except Exception:
            self._jobs.hunt(job)
            raise

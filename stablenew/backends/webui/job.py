"""One generation on a server: sent, watched, and hunted down when nobody wants it any more.

A server works on when its client leaves, and its interrupt hits whatever is running. So the request
is never dropped: as long as it has no answer, our job is queued, running, or lost with the server;
and an interrupt is sent only while what runs is known to be ours:

- where the server knows our id of it, it says so itself;
- else if nothing ran just before the request was sent, and something began right after;
- what already ran before, and what ended while we had no answer, is somebody else's;
- anything else is unclear, and is waited for.

`job_timestamp` has steps of one second: of two jobs that begin within two seconds of each other,
nobody can tell which is which.
"""

from __future__ import annotations

import logging
from enum import StrEnum

import anyio
import msgspec

from stablenew.backends.webui.answers import Answer
from stablenew.backends.webui.calls import API, Call
from stablenew.backends.webui.client import WebUIClient, never_sent
from stablenew.backends.webui.probe import PROGRESS, TASK
from stablenew.backends.webui.progress import Snapshot, TaskState, read_snapshot, read_task
from stablenew.backends.webui.server import Server
from stablenew.errors import BackendError, BackendUnavailableError

logger = logging.getLogger(__name__)

INTERRUPT = f"{API}/interrupt"

_CLEAR_WITHIN = 2.0
"""Seconds after an idle server was seen in which what begins is ours."""

_AGAIN = 0.1
"""Seconds between two interrupts of a job that is still running."""

_SETTLED_WITHIN = 30.0
"""Seconds to watch a server that may still be working on a request whose answer was lost."""


class Holder(StrEnum):
    """Whose job is running."""

    NOBODY = "nobody"
    OURS = "ours"
    OTHERS = "others"
    UNCLEAR = "unclear"


class Job:
    """A call under way.

    Args:
        client: Sends it.
        server: What is known of the server.
        request_id: Names it here.
        task_id: Names it there, where the server takes names.
        call: What is sent.
        before: What the server was doing just before; None where it does not tell.

    Attributes:
        answered: Set when there is an answer, or an error in its place: the job is over.
        answer: Of whatever status; None before, and where there is an error.
        error: What came instead of an answer.
        holder: Whose job the server was running when it was last looked at.
        interrupts: How often the server was asked to stop it.
        arrived: How many pieces of the answer have come.
    """

    def __init__(
        self,
        client: WebUIClient,
        server: Server,
        request_id: str,
        task_id: str | None,
        call: Call,
        before: Snapshot | None,
    ) -> None:
        self.request_id = request_id
        self.answered = anyio.Event()
        self.answer: Answer | None = None
        self.error: BackendError | None = None
        self.holder = Holder.NOBODY
        self.interrupts = 0
        self.arrived = 0
        self._client = client
        self._server = server
        self._task_id = task_id
        self._call = call
        self._before = before
        self._sent_at = anyio.current_time()
        self._running = ""
        self._strangers = {before.timestamp} if before is not None and before.busy else set()

    async def run(self) -> None:
        """Send the call and wait for its answer; raises nothing but a cancellation."""
        try:
            self.answer = await self._client.generate(
                self._call.path, self._call.content, self._arriving
            )
        except BackendUnavailableError as error:
            self.error = error
            if not never_sent(error):
                with anyio.move_on_after(_SETTLED_WITHIN):
                    await self._settle()
        except BackendError as error:
            self.error = error
        finally:
            self.answered.set()

    async def look(self, *, preview: bool = False) -> Snapshot | None:
        """Look at what the server is doing; None where it does not tell, or cannot just now."""
        if not self._server.progress:
            return None
        try:
            snapshot = await self._look(preview)
        except BackendError as error:
            logger.debug("%s: no progress: %s", self.request_id, error)
            return None
        return snapshot

    async def hunt(self) -> None:
        """Ask the server to stop the job, while it is known to be running, until it is over."""
        while not self.answered.is_set():
            if self.holder is Holder.OURS and self._server.interrupt and not self.arrived:
                await self._interrupt()
            with anyio.move_on_after(_AGAIN):
                await self.answered.wait()
                return
            await self.look()

    @property
    def blind(self) -> bool:
        """Whether nothing but the answer tells that the job is under way."""
        return not self._server.progress

    def why_not(self) -> str:
        """Return why the job may not be gone."""
        if not self._server.interrupt:
            return f"{self._server.flavour} has no interrupt; it works on until it is done"
        if self.arrived:
            return "its answer is still arriving"
        return {
            Holder.OTHERS: "it waits behind another client's job, and is stopped when it begins",
            Holder.UNCLEAR: "what is running may be another client's; it is waited for",
            Holder.OURS: "the server was asked, and is still at it",
            Holder.NOBODY: "the server does not show it",
        }[self.holder]

    def _arriving(self) -> None:
        self.arrived += 1

    async def _interrupt(self) -> None:
        self.interrupts += 1
        try:
            await self._client.send(INTERRUPT)
        except BackendError as error:
            logger.debug("%s: interrupt: %s", self.request_id, error)

    async def _look(self, preview: bool) -> Snapshot | None:
        if self._task_id is not None and self._call.kind != "extras":
            asked = {"id_task": self._task_id, "live_preview": preview, "id_live_preview": -1}
            task = read_task(await self._client.send(TASK, msgspec.json.encode(asked)))
            if task is None:
                return None
            state, snapshot = task
            self.holder = {
                TaskState.ACTIVE: Holder.OURS,
                TaskState.QUEUED: Holder.OTHERS,
                TaskState.UNKNOWN: Holder.NOBODY,
            }[state]
            return snapshot
        path = PROGRESS.replace("=true", "=false") if preview else PROGRESS
        snapshot_or_none = read_snapshot(await self._client.get(path, tries=1))
        if snapshot_or_none is not None:
            self.holder = self._holder_of(snapshot_or_none)
        return snapshot_or_none

    def _holder_of(self, snapshot: Snapshot) -> Holder:
        if self._running and self._running != snapshot.timestamp:
            self._strangers.add(self._running)  # it ended, and we have no answer
            self._running = ""
        if not snapshot.busy:
            return Holder.NOBODY
        if snapshot.timestamp in self._strangers:
            return Holder.NOBODY if snapshot.leftover else Holder.OTHERS
        if self._running == snapshot.timestamp and self.holder is not Holder.NOBODY:
            return self.holder
        self._running = snapshot.timestamp
        clear = self._before is not None and self._before.idle and not self._came_between()
        soon = anyio.current_time() - self._sent_at < _CLEAR_WITHIN
        return Holder.OURS if clear and soon else Holder.UNCLEAR

    def _came_between(self) -> bool:
        """Return whether somebody's job ran since ours was sent."""
        known = self._before.timestamp if self._before is not None else ""
        return bool(self._strangers - {known})

    async def _settle(self) -> None:
        """Our connection is lost, and maybe not the job: stop it, and watch until it is gone."""
        seen = self.holder is Holder.OURS
        while (await self.look()) is not None and not await self._idle():
            if self.holder is Holder.OURS and self._server.interrupt:
                seen = True
                await self._interrupt()
            elif self.holder is Holder.OTHERS and seen:
                return
            await anyio.sleep(_AGAIN)

    async def _idle(self) -> bool:
        """Return whether the server is idle, or away; a task that failed is shown as active."""
        try:
            snapshot = read_snapshot(await self._client.get(PROGRESS, tries=1))
        except BackendError:
            return True
        return snapshot is None or snapshot.idle

"""One generation on a server: sent, watched, and hunted down when nobody wants it any more.

A server works on when its client leaves, and its interrupt hits whatever is running. So the request
is never dropped: as long as it has no answer, our job is queued, running, or lost with the server;
and an interrupt is sent only while what runs is known to be ours:

- where the server knows our id of it, it says so itself;
- else if nothing ran just before the request was sent, and something began right after;
- what already ran before, and what ended while we had no answer, is somebody else's;
- anything else is unclear, and is waited for.

What runs is looked at right before each interrupt: what was so a moment ago may be over.

`job_timestamp` has steps of one second: of two jobs that begin within two seconds of each other,
nobody can tell which is which.
"""

from __future__ import annotations

import logging

import anyio
import msgspec

from stablenew.backends.answers import AWAY, Answer, refusal
from stablenew.backends.server_client import ServerClient, never_sent
from stablenew.backends.webui.calls import API, Call
from stablenew.backends.webui.holder import Holder
from stablenew.backends.webui.progress import (
    PROGRESS,
    TASK,
    Snapshot,
    TaskState,
    read_snapshot,
    read_task,
)
from stablenew.backends.webui.sdnext.outer_job import OuterJob
from stablenew.backends.webui.server import Flavour, Server
from stablenew.errors import BackendError, BackendProtocolError, BackendUnavailableError

logger = logging.getLogger(__name__)

INTERRUPT = f"{API}/interrupt"

LOOK = 0.25
"""Seconds between two looks at the progress: four a second, below the ten that are allowed."""

_CLEAR_WITHIN = 2.0
"""Seconds after an idle server was seen in which what begins is ours."""

_AGAIN = 0.1
"""Seconds between two interrupts of a job that is still running."""

_QUEUED = 0.25
"""Seconds between two looks at a server that is busy with somebody else's."""

_SETTLED_WITHIN = 30.0
"""Seconds to watch a server that may still be working on a request whose answer was lost."""


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
        sent: Set when all of it has left, or never will.
        ended: Set when there is an answer, or an error in its place: the job is over.
        answer: Of whatever status; None before, and where there is an error.
        error: What came instead of an answer.
        holder: Whose job the server was running when it was last looked at.
        interrupts: How often the server was asked to stop it.
        gone: Whether the server is known to be done with it, once it has ended.
        stopped_by_others: Whether somebody else was seen to have interrupted it.
        timestamp: What the server names it by, as far as it was seen running.
        arrived: How many pieces of the answer have come.
        hunted: Whether nobody wants it any more.
        seconds: How long it took until the answer was here, once it is.
    """

    def __init__(
        self,
        client: ServerClient,
        server: Server,
        request_id: str,
        task_id: str | None,
        call: Call,
        before: Snapshot | None,
    ) -> None:
        self.request_id = request_id
        self.sent = anyio.Event()
        self.ended = anyio.Event()
        self.answer: Answer | None = None
        self.error: BackendError | None = None
        self.holder = Holder.NOBODY
        self.interrupts = 0
        self.gone = False
        self.stopped_by_others = False
        self.timestamp = ""
        self.arrived = 0
        self.hunted = False
        self.seconds: float | None = None
        self._scope = anyio.CancelScope()
        self._client = client
        self._server = server
        self._task_id = task_id
        self._call = call
        self._before = before
        self._sent_at = self._looked_at = anyio.current_time()
        self._running = ""
        self._ours: str | None = None
        nested = server.flavour is Flavour.SDNEXT and call.kind != "extras"
        self._outer = OuterJob(client, before) if nested else None
        self._strangers = {before.timestamp} if before is not None and before.busy else set()

    async def run(self) -> None:
        """Send the call and wait for its answer; raises nothing but a cancellation."""
        try:
            with self._scope:
                await self._run()
            if self._scope.cancelled_caught:
                message = f"the server at {self._client.url} has forgotten the job"
                self.error, self.gone = BackendUnavailableError(message, retryable=True), True
        except Exception as error:  # must not end what the backend does beside it
            logger.warning("%s: %r", self.request_id, error, exc_info=True)
            self.error = BackendProtocolError(f"the request failed: {error!r}")
        finally:
            self.sent.set()
            self.ended.set()

    async def _run(self) -> None:
        try:
            answer = await self._client.generate(
                self._call.path, self._call.content, self._arriving, self.sent.set
            )
            self.seconds = anyio.current_time() - self._sent_at
            if answer.status not in AWAY:
                self.answer, self.gone = answer, True
                return
            self.error = refusal(answer, f"POST {self._call.path}")
        except BackendUnavailableError as error:
            self.error = error
            if never_sent(error):
                self.gone = True
                return
        except BackendError as error:
            self.error, self.gone = error, True
            return
        with anyio.move_on_after(_SETTLED_WITHIN):
            self.gone = await self._settle()

    def forget(self) -> None:
        """Wait no longer for an answer: the server has none, for it is idle."""
        self._scope.cancel()

    async def look_is_due(self) -> None:
        """Wait until it is time for the next look, whoever took the last one; or it is over."""
        pause = self._looked_at + LOOK - anyio.current_time()
        with anyio.move_on_after(pause):
            await self.ended.wait()

    async def look(self, *, preview: bool = False) -> Snapshot | None:
        """Look at what the server is doing; None where it does not tell, or cannot just now."""
        snapshot: Snapshot | None = None
        if self._server.progress:
            try:
                snapshot = await self._look(preview)
            except BackendError as error:
                logger.debug("%s: no progress: %s", self.request_id, error)
        self._looked_at = anyio.current_time()
        if snapshot is None:
            self.holder = Holder.UNCLEAR  # what was known may be over
        elif self.holder is Holder.OURS:
            self.timestamp = snapshot.timestamp or self.timestamp
            self.stopped_by_others |= snapshot.interrupted and not self.interrupts
        return snapshot

    async def hunt(self) -> None:
        """Ask the server to stop the job, while it is known to be running, until it is over."""
        self.hunted = True
        while not self.ended.is_set():
            await self.look()
            if await self._to_be_stopped() and not self.arrived:
                await self._interrupt()
            with anyio.move_on_after(_QUEUED if self.holder is Holder.OTHERS else _AGAIN):
                await self.ended.wait()

    @property
    def blind(self) -> bool:
        """Whether nothing but the answer tells that the job is under way."""
        return not self._server.progress

    def why_not(self) -> str:
        """Return why the job may not be gone."""
        if self.ended.is_set():
            return "its answer was lost, and the server may work on"
        if not self._server.interrupt:
            return f"{self._server.flavour} has no interrupt; it works on until it is done"
        if self.arrived:
            return "its answer is still arriving"
        becomes = "it is stopped when it begins, if this program still runs then"
        if self._task_id is None:
            becomes = "when it begins it cannot be told from others', and is waited for"
        return {
            Holder.OTHERS: f"it waits behind another client's job; {becomes}",
            Holder.UNCLEAR: "what is running may be another client's; it is waited for",
            Holder.OURS: "the server was asked, and is still at it"
            if self.interrupts
            else "it loads its model, which nothing stops; it is stopped when that is done",
            Holder.NOBODY: "the server does not show it",
        }[self.holder]

    def why_left(self) -> str:
        """Return what becomes of the job when nobody is here any more to stop it."""
        if self.ended.is_set() or self.arrived or not self._server.interrupt:
            return self.why_not()
        steps = self._call.settings.get("steps")
        whole = f"its {steps} steps" if steps else "its end"
        return {
            Holder.OTHERS: f"it waits behind another client's job, and will run to {whole}",
            Holder.UNCLEAR: f"it may be what is running, or come after it; it will run to {whole}",
            Holder.OURS: "the server was asked to stop it, and is still at it"
            if self.interrupts
            else f"it loads its model, and will run to {whole}",
            Holder.NOBODY: f"the server does not show it; if it begins, it will run to {whole}",
        }[self.holder]

    @property
    def stoppable(self) -> bool:
        """Whether the server can be asked to stop it."""
        return self._server.interrupt

    @property
    def flavour(self) -> Flavour:
        """What kind of server it is on."""
        return self._server.flavour

    def _arriving(self) -> None:
        self.arrived += 1

    async def _interrupt(self) -> None:
        self.interrupts += 1
        try:
            await self._client.send(INTERRUPT)
        except BackendError as error:
            logger.debug("%s: interrupt: %s", self.request_id, error)

    async def _to_be_stopped(self) -> bool:
        """Return whether an interrupt would stop our job, and no other, now."""
        if not self._server.interrupt:
            return False
        if self._outer is None:
            return self.holder is Holder.OURS
        try:
            holder = await self._outer.interruptible()
        except BackendError as error:
            logger.debug("%s: %s", self.request_id, error)
            holder = Holder.UNCLEAR
        if holder is not Holder.NOBODY:
            self.holder = holder
        return holder is Holder.OURS

    async def _look(self, preview: bool) -> Snapshot | None:
        if self._outer is not None:
            snapshot, self.holder = await self._outer.look(preview=preview)
            return snapshot
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
        if self._running == snapshot.timestamp:
            return Holder.OURS if self._ours == snapshot.timestamp else Holder.UNCLEAR
        self._running = snapshot.timestamp
        clear = self._before is not None and self._before.idle and not self._came_between()
        soon = anyio.current_time() - self._sent_at < _CLEAR_WITHIN
        if not (clear and soon):
            return Holder.UNCLEAR
        self._ours = snapshot.timestamp
        return Holder.OURS

    def _came_between(self) -> bool:
        """Return whether somebody's job ran since ours was sent."""
        known = self._before.timestamp if self._before is not None else ""
        return bool(self._strangers - {known})

    async def _settle(self) -> bool:
        """Our connection is lost, and maybe not the job: stop it, and watch until it is gone.

        Returns whether it is. A look that fails is no answer: only a refused connection means that
        there is no server any more.
        """
        seen = self.holder is Holder.OURS
        while self._server.progress:
            if (idle := await self._idle()) is not None and idle:
                return True
            await self.look()
            if await self._to_be_stopped():
                seen = True
                await self._interrupt()
            elif self.holder is Holder.OTHERS and seen:
                return True
            await anyio.sleep(_AGAIN)
        return False

    async def _idle(self) -> bool | None:
        """Return whether the server is idle, or no more; None where it cannot be told.

        Not by the task's id: a task that failed is shown as active.
        """
        try:
            if self._outer is not None:
                return await self._outer.idle()
            snapshot = read_snapshot(await self._client.get(PROGRESS, tries=1))
        except BackendUnavailableError as error:
            return True if never_sent(error) else None
        except BackendError:
            return None
        return None if snapshot is None else snapshot.idle

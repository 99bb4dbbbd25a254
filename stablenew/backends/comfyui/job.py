"""One prompt on a server: sent, followed to its end, and stopped when nobody wants it any more.

- It is known by an id of ours. Where the answer to the POST is lost, the id is looked for, and only
  if it does not show is the prompt sent again: a server runs one id twice without a word.
- Its end is what the server says of the id, whatever else was heard.
- A cancel waits for the POST's answer: before it, it would find nothing, and the job begins after.
  Every call names the id: no other client's job is touched. The receipt is the final status.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import anyio
import msgspec

from stablenew.backends.answers import AWAY, Answer, read_json, refusal
from stablenew.backends.comfyui.hearing import Hearing
from stablenew.backends.comfyui.job_state import (
    JobState,
    Status,
    read_history,
    read_job,
    read_queue,
)
from stablenew.backends.comfyui.refusals import complaints, rejection
from stablenew.backends.comfyui.server import Server
from stablenew.backends.server_client import ServerClient, never_sent
from stablenew.errors import (
    BackendError,
    BackendProtocolError,
    BackendRejectedError,
    BackendUnavailableError,
)

logger = logging.getLogger(__name__)

JOBS = "/api/jobs"

_SHOWS_WITHIN = 2.0
"""Seconds in which a job shows whose POST got through, though its answer did not."""

_FIRST_LOOK = 0.03
_LOOK = 0.25
"""Seconds between two looks: the first after less, for small pictures take no longer."""

_LOOK_WHILE_HEARD = 2.0
_HEARD_WITHIN = 3.0
"""Seconds between two looks at a job that was heard of within so many seconds."""

_SLOWER = 1.3
_AGAIN = 0.25
"""Seconds between two cancels of a job that is still running."""

_NOWHERE = JobState(status=Status.NOWHERE)
_NOWHERE_TWICE = 2
"""Looks that must not find a job before it is taken to be gone."""


class Job:
    """A prompt under way.

    Args:
        client: Sends it.
        server: What is known of the server.
        request_id: Names it here.
        prompt_id: Names it there; a UUID.
        body: What is sent, without the id.
        hearing: What is heard of it, where there is a socket.
        sent_before: Whether it may be there already: an answer, or the server, was lost.

    Attributes:
        posted: Set when the POST is answered, or given up.
        ended: Set when it is over, or when there is an error in its place.
        state: As it was seen last.
        error: What came instead of an end.
        cancels: How often the server was asked to stop it.
        seen: How often the server was heard to have it.
        hunted: Whether nobody wants it any more.
    """

    def __init__(
        self,
        client: ServerClient,
        server: Server,
        request_id: str,
        prompt_id: str,
        body: Mapping[str, object],
        hearing: Hearing,
        *,
        sent_before: bool = False,
    ) -> None:
        self.hearing = hearing
        self.request_id = request_id
        self.prompt_id = prompt_id
        self.posted = anyio.Event()
        self.ended = anyio.Event()
        self.state: JobState | None = None
        self.error: BackendError | None = None
        self.cancels = 0
        self.seen = 0
        self.hunted = False
        self._sent_at = anyio.current_time()
        self._ended_at: float | None = None
        self._client = client
        self._server = server
        self._body = body
        self._sent_before = sent_before
        self._look_now = anyio.Event()

    async def run(self) -> None:
        """Send it and follow it to its end; raises nothing but a cancellation."""
        try:
            if not (self._sent_before and await self._shows(0.0)):
                await self._post()
            self.posted.set()
            await self._follow()
        except BackendError as error:
            self.error = error
        except Exception as error:  # must not end what the backend does beside it
            logger.warning("%s: %r", self.request_id, error, exc_info=True)
            self.error = BackendProtocolError(f"the job failed: {error!r}")
        finally:
            self._ended_at = anyio.current_time()
            self.posted.set()
            self.ended.set()

    def look_now(self) -> None:
        """Look at once, and not when it is time."""
        self._look_now.set()

    async def hunt(self) -> None:
        """Have the server stop it, until it is over."""
        self.hunted = True
        while not self.ended.is_set():
            await self.stop()
            self.look_now()
            with anyio.move_on_after(_AGAIN):
                await self.ended.wait()

    async def stop(self) -> None:
        """Ask the server once to stop it, whether or not it is followed; raises no error."""
        await self.posted.wait()
        try:
            await self._cancel()
        except BackendError as error:
            logger.debug("%s: cancel: %s", self.request_id, error)

    @property
    def stoppable(self) -> bool:
        """Whether the server can be asked to stop it: always."""
        return True

    def why_left(self) -> str:
        """Return what becomes of it when nobody is here any more to stop it."""
        if self.error is not None:
            return f"the server may have it, and work on: {self.error}"
        if not self.posted.is_set():
            return "the server has not answered to it; if it has it, it will run to its end"
        asked = "the server was asked to stop it, and is still at it"
        return asked if self.cancels else "the server is at it, and will run it to its end"

    @property
    def gone(self) -> bool:
        """Whether the server is known to be done with it."""
        return self.state is not None and self.state.over

    @property
    def seconds(self) -> float | None:
        """How long the server worked at it, or had it if it does not tell; None before its end."""
        if self._ended_at is None or self.state is None or self.state.seconds is not None:
            return self.state.seconds if self.state is not None else None
        return self._ended_at - self._sent_at

    async def _post(self) -> None:
        content = msgspec.json.encode({**self._body, "prompt_id": self.prompt_id})
        answer: Answer | None
        try:
            answer = await self._client.ask("POST", "/prompt", content)
        except BackendUnavailableError as error:
            if never_sent(error):
                self.state = _NOWHERE
                raise
            logger.info("%s: the answer was lost: %s", self.request_id, error)
            answer = await self._posted_again(content)
        if answer is not None and answer.status in AWAY:  # said by a proxy: who knows
            answer = await self._posted_again(content)
        if answer is not None:
            await self._read_answer(answer)

    async def _posted_again(self, content: bytes) -> Answer | None:
        """Send it again if it did not get through; None where it did."""
        if await self._shows(_SHOWS_WITHIN):
            return None
        return await self._client.ask("POST", "/prompt", content)

    async def _read_answer(self, answer: Answer) -> None:
        if answer.status >= 400:
            self.state = _NOWHERE
            raise rejection(answer)
        told = read_json(answer)
        if not isinstance(told, dict) or not told.get("prompt_id"):
            raise BackendProtocolError("POST /prompt: the answer names no prompt")
        self.prompt_id = str(told["prompt_id"])  # before 0.3.45 it is one of the server's own
        if refused := "; ".join(complaints(told.get("node_errors"))):
            await self._cancel()
            raise BackendRejectedError(f"the server refused a part of the prompt: {refused}")

    async def _shows(self, within: float) -> bool:
        """Return whether the server has the job: now, or soon."""
        deadline = anyio.current_time() + within
        while True:
            if (await self._look()).status is not Status.NOWHERE:
                return True
            if anyio.current_time() >= deadline:
                return False
            await anyio.sleep(_FIRST_LOOK)

    async def _follow(self) -> None:
        pause, nowhere = _FIRST_LOOK, 0
        while True:
            self._look_now = anyio.Event()
            state = await self._look()
            nowhere = nowhere + 1 if state.status is Status.NOWHERE else 0
            if state.over and nowhere in (0, _NOWHERE_TWICE):
                self.state = state
                return
            if not state.over:
                self.state = state
                self.seen += 1
            with anyio.move_on_after(pause):
                await self._look_now.wait()
            heard = self.hearing.heard_within(_HEARD_WITHIN)
            pause = min(pause * _SLOWER, _LOOK_WHILE_HEARD if heard else _LOOK)

    async def _look(self) -> JobState:
        if self._server.jobs:
            path = f"{JOBS}/{self.prompt_id}"
            answer = await self._client.ask("GET", path)
            if answer.status == 404:
                return _NOWHERE
            return read_job(_read(answer, path))
        # In this order: what ends in between is in the second.
        queued = read_queue(await self._get("/queue"), self.prompt_id)
        past = read_history(await self._get(f"/history/{self.prompt_id}"), self.prompt_id)
        return past or JobState(status=queued)

    async def _get(self, path: str) -> object:
        return _read(await self._client.ask("GET", path), path)

    async def _cancel(self) -> None:
        """Ask the server to stop it, by its id: waiting or running."""
        self.cancels += 1
        deleting = msgspec.json.encode({"delete": [self.prompt_id]})
        await self._client.ask("POST", "/queue", deleting)
        if self._server.jobs:
            answer = await self._client.ask("POST", f"{JOBS}/{self.prompt_id}/cancel", b"")
            if answer.status < 400:
                return
        # Before 0.3.57 the id is not looked at: it is sent only while what runs is known as ours.
        if self._server.interrupts_by_id or (await self._look()).status is Status.RUNNING:
            naming = msgspec.json.encode({"prompt_id": self.prompt_id})
            await self._client.ask("POST", "/interrupt", naming)


def _read(answer: Answer, path: str) -> object:
    if answer.status >= 400:
        raise refusal(answer, f"GET {path}")
    return read_json(answer)

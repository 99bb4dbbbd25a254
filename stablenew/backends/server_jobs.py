"""The jobs of a backend on its server: each is followed to its end, and stopped when unwanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import anyio

from stablenew.backends.server_client import ServerClient
from stablenew.errors import ungrouped

logger = logging.getLogger(__name__)

STOPPED_WITHIN = 4.5
"""Seconds after which an interrupt says what it knows; the job is hunted on."""


class ServerJob(Protocol):
    """One request under way on a server."""

    request_id: str
    ended: anyio.Event
    hunted: bool

    @property
    def gone(self) -> bool:
        """Whether the server is known to be done with it, once it has ended."""
        ...

    @property
    def stoppable(self) -> bool:
        """Whether the server can be asked to stop it."""
        ...

    async def run(self) -> None:
        """Send it and follow it to its end; raises nothing but a cancellation."""
        ...

    async def hunt(self) -> None:
        """Have the server stop it, until it is over."""
        ...

    def why_left(self) -> str:
        """Return what becomes of it when nobody is here any more to stop it."""
        ...


J = TypeVar("J", bound=ServerJob)


class ServerJobs(Generic[J]):
    """The jobs of a backend; entered with `async with` for as long as that is used.

    Args:
        client: Talks to the server; entered as well.

    Attributes:
        tasks: What runs beside what the backend is asked for.
        open: Whether it is entered.
    """

    def __init__(self, client: ServerClient) -> None:
        self.open = False
        self._client = client
        self._by_id: dict[str, J] = {}
        self._left: list[J] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            stack.enter_context(ungrouped())
            self.tasks = await stack.enter_async_context(anyio.create_task_group())
            self._stack = stack.pop_all()
        self.open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)

    def abandon(self) -> None:
        """Follow no job any more, and say what is left on the server."""
        self.open = False
        for line in self.left_behind:
            logger.warning("%s", line)
        self.tasks.cancel_scope.cancel()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[J]:
        return iter(list(self._by_id.values()))

    def get(self, request_id: str) -> J | None:
        """Return the job under way of a request; None where there is none."""
        return self._by_id.get(request_id)

    def start(self, job: J) -> None:
        """Follow a job to its end."""
        self._by_id[job.request_id] = job
        self.tasks.start_soon(self._run, job)

    def hunt(self, job: J) -> None:
        """Have a job stopped that nobody wants any more; does not wait for it."""
        self.tasks.start_soon(job.hunt)

    async def stop(self, job: J) -> float:
        """Have a job stopped; return when it is over or it took too long, and the seconds.

        One that is not over by then is asked to stop again, until it is.
        """
        started = anyio.current_time()
        self.hunt(job)
        with anyio.move_on_after(STOPPED_WITHIN):
            await job.ended.wait()
        return anyio.current_time() - started

    def note_left(self, job: J) -> None:
        """Note a job that is over and unwanted if the server may work on at it."""
        if job.ended.is_set() and not job.gone:
            self._left.append(job)

    @property
    def left_behind(self) -> Sequence[str]:
        """What the server may still do for us, one line each: nobody stops that once we are gone.

        The jobs that are under way, and those that were stopped and whose end was lost.
        """
        url = self._client.url
        jobs = [*self._left, *self]
        return [f"left behind on {url}: {job.request_id}: {job.why_left()}" for job in jobs]

    async def drained(self) -> None:
        """Wait until nothing of ours is left that can be stopped; each is when it begins."""
        for job in self:
            if job.stoppable:
                await job.ended.wait()

    async def _run(self, job: J) -> None:
        try:
            await job.run()
        finally:
            if self._by_id.get(job.request_id) is job:
                del self._by_id[job.request_id]
            if job.hunted:
                self.note_left(job)

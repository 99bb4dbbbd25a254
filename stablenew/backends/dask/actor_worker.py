"""An actor on a Dask worker as a worker of ours: its methods in place of pipes.

The actor is called by the message that Dask's own `Actor` sends. That class does it in a callback
that nobody can cancel, and where the worker has forgotten the actor its answer never comes.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import attrs

from stablenew.backends.dask.actor import BackendActor, MakeBackend
from stablenew.errors import ConfigError

LOST = (OSError, ValueError, RuntimeError, KeyError, AttributeError)
"""What Dask raises where a worker or the scheduler has gone, or our client was closed."""

_SILENT_FOR = 15.0
"""Seconds after which a worker that says nothing at all is taken to have gone away."""

_ENDED_WITHIN = 2.0

_NONE = object()
"""In place of an answer."""

Call = Callable[..., Awaitable[Any]]
"""Calls a method of an actor, by its name."""


@attrs.define(eq=False)
class ActorPipe:
    """The two ways to an actor, as if they were pipes.

    Attributes:
        closed: Whether its worker went away, or is left.
    """

    call: Call
    closed: bool = False
    _waiting: set[anyio.CancelScope] = attrs.field(factory=set)

    async def receive(self, max_bytes: int = 65536) -> bytes:  # noqa: ARG002  # all that there is
        """Return the next of what it says.

        Raises:
            EndOfStream: It has ended, or its worker went away.
        """
        data: bytes | None = None
        while data is None and not self.closed:
            data = await self._answer("give", within=_SILENT_FOR, otherwise=b"")
        if not data:
            self.close()
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """Send something to it.

        Raises:
            BrokenResourceError: Its worker went away.
        """
        if self.closed or await self._answer("take", item, otherwise=_NONE) is _NONE:
            raise anyio.BrokenResourceError

    def close(self) -> None:
        """Have nothing wait for it any more: Dask looks for a worker that is gone for 30 s."""
        self.closed = True
        for scope in self._waiting:
            scope.cancel()

    async def _answer(
        self, function: str, *args: object, otherwise: object, within: float = math.inf
    ) -> Any:
        """Return what a method of the actor returns, or something else where it does not."""
        with suppress(*LOST), anyio.move_on_after(within) as scope:
            self._waiting.add(scope)
            try:
                return await self.call(function, *args)
            finally:
                self._waiting.discard(scope)
        return otherwise


@attrs.frozen(eq=False)
class ActorWorker:
    """A worker of ours that is an actor on one of Dask's."""

    pipe: ActorPipe
    future: Any
    ended: Callable[[], None]

    @property
    def receive(self) -> Any:
        """Where its frames come from."""
        return self.pipe

    @property
    def send(self) -> Any:
        """Where frames for it go."""
        return self.pipe

    async def end(self) -> None:
        """End it, and give its Dask worker back."""
        if not self.pipe.closed:
            with anyio.move_on_after(_ENDED_WITHIN, shield=True), suppress(*LOST):
                await self.pipe.call("end")
        self.pipe.close()
        self.future.release()
        self.ended()


async def begin_actor(
    client: Any, address: str, make: MakeBackend, ended: Callable[[], None]
) -> ActorWorker:
    """Begin a backend on a Dask worker.

    Args:
        client: Dask's asynchronous client.
        address: The worker's.
        make: Makes the backend, there.
        ended: Called when it has ended.

    Raises:
        OSError: The worker does not do it.
        ConfigError: Its environment names no backend.
    """
    what = {"actor": True, "workers": [address], "pure": False}
    try:
        future = client.submit(BackendActor, make, **what)
        if (error := await future.exception()) is None:
            call = _calls(client, address, future.key)
            await call("begin")
            return ActorWorker(ActorPipe(call), future, ended)
    except ConfigError as wrong:
        lines = (f"dask: worker {address}: {each}" for each in wrong.problems)
        raise ConfigError(*lines) from wrong
    except LOST as lost:
        error = lost
    raise OSError(f"{address}: {type(error).__name__}: {error}") from error


def _calls(client: Any, address: str, key: str) -> Call:
    """Return what calls the methods of an actor.

    That goes straight to the worker where Dask's settings or ours say so; else by way of the
    scheduler, as Dask has it, which reaches workers that we may not reach.
    """
    from distributed.protocol.serialize import to_serialize

    worker, scheduler, direct = client.rpc(address), client.scheduler, client.direct_to_workers

    async def call(function: str, *args: object) -> Any:
        given = [*map(to_serialize, args)]
        message = {"function": function, "actor": key, "args": given, "kwargs": {}}
        if direct:
            answer = await worker.actor_execute(**message)
        else:
            message["op"] = "actor_execute"
            answer = await scheduler.proxy(worker=address, msg=message)
        if answer["status"] == "OK":
            return answer["result"]
        raise answer["exception"]

    return call

"""What lives on a Dask worker: a backend that does what frames ask for."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

import anyio

from stablenew.backends.base import Backend
from stablenew.backends.worker.serving import WorkerServer

_GIVES_WITHIN = 3.0
"""Seconds after which nothing is given, so that whoever asks hears that the worker is there."""

_ASKED_WITHIN = 15.0
"""Seconds without being asked for anything, after which nobody is taken to be there."""


class MakeBackend(Protocol):
    """Makes the backend of a worker, there; pickled by its name."""

    def __call__(self) -> Backend:
        """Return one, from the worker's own environment."""
        ...


class BackendActor:
    """Holds a backend; what goes to it and comes from it are the frames of a process of our own.

    Its methods are coroutines, which run beside each other in the worker's loop. It ends by itself
    where nobody asks any more: a program that was killed does not say so.

    Args:
        make: Makes the backend.
    """

    def __init__(self, make: MakeBackend) -> None:
        self._make = make

    async def begin(self) -> None:
        """Begin to serve.

        Raises:
            ConfigError: The worker's environment names no backend.
        """
        backend = await asyncio.to_thread(self._make)  # it may have a lot to import
        self._to_us, receive = anyio.create_memory_object_stream[bytes](math.inf)
        send, self._from_us = anyio.create_memory_object_stream[bytes](math.inf)
        self._silence = anyio.CancelScope(deadline=anyio.current_time() + _ASKED_WITHIN)

        async def serve() -> None:
            async with receive, send, anyio.create_task_group() as beside:
                beside.start_soon(self._notice_silence)
                await WorkerServer(backend, receive, send).run()
                beside.cancel_scope.cancel()

        # The loop is Dask's: there is no task group around what it calls.
        self._serving = asyncio.get_running_loop().create_task(serve())

    async def take(self, data: bytes) -> None:
        """Take a part of what is said to the backend."""
        self._silence.deadline = anyio.current_time() + _ASKED_WITHIN
        await self._to_us.send(data)

    async def give(self) -> bytes | None:
        """Return the next of what it says, empty where it has ended; None for nothing by now."""
        self._silence.deadline = anyio.current_time() + _ASKED_WITHIN
        parts: list[bytes] = []
        try:
            with anyio.move_on_after(_GIVES_WITHIN):
                parts.append(await self._from_us.receive())
                while True:
                    parts.append(self._from_us.receive_nowait())
        except anyio.WouldBlock:
            pass
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._from_us.close()
            return b"".join(parts)
        return b"".join(parts) or None

    async def end(self) -> None:
        """End it; what it is at is cancelled."""
        self._to_us.close()
        await asyncio.wait([self._serving])
        self._from_us.close()

    async def _notice_silence(self) -> None:
        """End it when it was not asked for anything for too long."""
        with self._silence:
            await anyio.sleep_forever()
        self._to_us.close()
        self._from_us.close()

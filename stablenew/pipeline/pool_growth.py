"""Backends that join a pool while it is in use, each hosted in a task of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import attrs

from stablenew.backends.base import Backend
from stablenew.errors import BackendUnavailableError, StableNewError, ungrouped
from stablenew.pipeline.backend_border import entered
from stablenew.pipeline.node_pool import Node, NodePool

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds after which one that does not answer is asked again; each time twice as long."""


@asynccontextmanager
async def growing(
    pool: NodePool, joining: AsyncIterable[Backend] | None, make: Callable[[Backend], Node]
) -> AsyncIterator[None]:
    """Take backends into a pool as they come, until this is left; then they are left as well.

    Args:
        pool: Grows.
        joining: Where they come from; None for nowhere. One that came before may be back.
        make: Makes a node of one.
    """
    if joining is None:
        yield
        return
    hosts: dict[int, _Host] = {}
    reading = anyio.CancelScope()
    with ungrouped():
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                with reading:
                    async for backend in joining:
                        if (name := pool.name_of(backend)) is not None:
                            pool.may_be_back(name)
                        elif id(backend) in hosts:
                            hosts[id(backend)].wake()
                        else:
                            host = hosts[id(backend)] = _Host(pool, backend)
                            tasks.start_soon(hold, host)

            async def hold(host: _Host) -> None:
                await host.run(make)
                del hosts[id(host.backend)]

            tasks.start_soon(read)
            try:
                yield
            finally:
                reading.cancel()
                for host in hosts.values():
                    host.leave()


@attrs.define(eq=False)
class _Host:
    """Holds a backend that joins, until it is to be left."""

    pool: NodePool
    backend: Backend
    _leaving: bool = False
    _changed: anyio.Event = attrs.field(factory=anyio.Event)

    async def run(self, make: Callable[[Backend], Node]) -> None:
        """Enter the backend and take it in; one that cannot be used is said, and left alone."""
        try:
            async with entered(self.backend):
                await self._join(make(self.backend))
                while not self._leaving:
                    await self._wait(math.inf)
        except StableNewError as error:
            logger.warning("%s", error)

    async def _join(self, node: Node) -> None:
        """Take a node in, once it answers: a machine may tell of itself before its server does."""
        pause = _FIRST_PAUSE
        while not self._leaving:
            try:
                await self.pool.join(node)
            except BackendUnavailableError as error:
                level = logging.WARNING if pause == _FIRST_PAUSE else logging.DEBUG
                logger.log(level, "%s: %s; it is asked again", node.name, error)
                await self._wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return

    async def _wait(self, seconds: float) -> None:
        self._changed = anyio.Event()
        with anyio.move_on_after(0 if self._leaving else seconds):  # it may have come meanwhile
            await self._changed.wait()

    def wake(self) -> None:
        """Have it ask again at once."""
        self._changed.set()

    def leave(self) -> None:
        """Have it leave the backend."""
        self._leaving = True
        self.wake()

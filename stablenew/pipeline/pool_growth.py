"""Backends that join a pool while it is in use, each hosted in a task of its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from stablenew.backends.base import Backend
from stablenew.errors import StableNewError, ungrouped
from stablenew.pipeline.backend_border import entered
from stablenew.pipeline.node_pool import Node, NodePool

logger = logging.getLogger(__name__)


@asynccontextmanager
async def growing(
    pool: NodePool, joining: AsyncIterable[Backend] | None, make: Callable[[Backend], Node]
) -> AsyncIterator[None]:
    """Take backends into a pool as they come, until this is left; then they are left as well.

    Args:
        pool: Grows.
        joining: Where they come from; None for nowhere. One that is in the pool may be back.
        make: Makes a node of one.
    """
    if joining is None:
        yield
        return
    leaving, reading = anyio.Event(), anyio.CancelScope()
    with ungrouped():
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                with reading:
                    async for backend in joining:
                        name = pool.name_of(backend)
                        if name is None:
                            tasks.start_soon(_host, pool, backend, make, leaving)
                        else:
                            pool.may_be_back(name)

            tasks.start_soon(read)
            try:
                yield
            finally:
                leaving.set()
                reading.cancel()


async def _host(
    pool: NodePool, backend: Backend, make: Callable[[Backend], Node], leaving: anyio.Event
) -> None:
    """Hold a backend that has joined; one that cannot be used is said, and left alone."""
    try:
        async with entered(backend):
            await pool.join(make(backend))
            await leaving.wait()
    except StableNewError as error:
        logger.warning("%s", error)

"""A Dask cluster as workers of ours: each of its workers takes one backend.

- A worker that joins later gets one as well, or that of one that went away.
- Where the scheduler goes away, it is looked for with growing pauses; its workers count as new.
- A worker without this package, or with another version of it, gets none.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any

import anyio
import anyio.to_thread
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream

from stablenew.backends.base import Backend
from stablenew.backends.dask import NOT_INSTALLED
from stablenew.backends.dask.actor import MakeBackend
from stablenew.backends.dask.actor_worker import LOST, ActorPipe, ActorWorker, begin_actor
from stablenew.backends.worker.backend import WorkerBackend
from stablenew.errors import BackendUnavailableError, ConfigError, ungrouped

logger = logging.getLogger(__name__)

_PACKAGE = "stablenew"

_LOOK_EVERY = 1.0
"""Seconds between two looks at which workers there are; Dask tells only its own of that."""

_ANSWERS_WITHIN = 30.0
_CONNECTS_WITHIN = 10.0
_CLOSED_WITHIN = 2.0
_LONGEST_PAUSE = 10.0
"""Seconds, like those above, between two looks for a scheduler that went away."""


@attrs.define(eq=False)
class _Binding:
    """A worker that a backend is on, or begins on.

    Attributes:
        address: The worker's.
        pipe: What goes there; None until it has begun.
    """

    address: str
    pipe: ActorPipe | None = None


class DaskCluster:
    """The workers of a cluster, each with a backend; see the module.

    Args:
        address: The scheduler's: `tcp://scheduler:8786`.
        make: Makes the backend of a worker, there.
        direct: Whether workers are spoken to by us, whatever Dask's own settings say.

    Attributes:
        backends: Those of the workers that were there at first, and of those that joined.
        joining: Where those come from that join, or are back, for `open_app`.
    """

    joining: MemoryObjectReceiveStream[Backend]

    def __init__(self, address: str, make: MakeBackend, *, direct: bool | None = None) -> None:
        self.backends: list[WorkerBackend] = []
        self._join, self.joining = anyio.create_memory_object_stream[Backend](math.inf)
        self._address, self._make, self._direct = address, make, direct
        self._client: Any = None
        self._present: set[str] = set()
        self._refused: set[str] = set()
        self._looked_at = -math.inf
        self._bound: dict[str, _Binding] = {}
        self._failed: set[str] = set()

    async def connect(self) -> None:
        """Connect to the scheduler.

        Raises:
            ConfigError: Dask is not installed, or that is no address.
            BackendUnavailableError: No scheduler answers.
        """
        make = await anyio.to_thread.run_sync(_imported_client)
        client: Any = None
        try:
            with anyio.fail_after(_CONNECTS_WITHIN):  # what is no scheduler may say nothing
                await _see_that_somebody_listens(self._address)
                client = make(
                    self._address,
                    asynchronous=True,
                    set_as_default=False,
                    direct_to_workers=self._direct,
                    timeout=_CONNECTS_WITHIN,
                )
                self._client = await client
        except BaseException as error:
            if client is not None:
                await _closed(client)
            if isinstance(error, ValueError):
                expected = "expected a scheduler's address: tcp://host:8786"
                raise ConfigError(f"dask: given {self._address!r} ({error}), {expected}") from error
            if isinstance(error, (OSError, ImportError)):  # the latter from what is no Dask
                why = f"no Dask scheduler answers at {self._address}"
                raise BackendUnavailableError(why) from error
            raise

    async def disconnect(self) -> None:
        """Leave the scheduler; our actors on its workers end by that."""
        client, self._client = self._client, None
        self._present = set()
        self._close_gone()
        if client is not None:
            await _closed(client)

    def close(self) -> None:
        """Have nobody join any more."""
        self._join.close()
        self.joining.close()

    async def take_all(self) -> None:
        """Make a backend for each worker that is there.

        Raises:
            ConfigError: There is none, or some have no such package, or another version of it.
            BackendUnavailableError: The scheduler went away.
        """
        try:
            wrong = await self._wrong(await self._workers())
        except LOST as error:
            raise BackendUnavailableError(f"{self._address} went away: {error}") from error
        if not wrong:
            raise ConfigError(f"dask: {self._address} has no workers; expected at least one")
        if any(wrong.values()):
            raise ConfigError(*(f"dask: {line}" for line in wrong.values() if line))
        self._present = set(wrong)
        for _ in wrong:
            self._add()

    async def watch(self) -> None:
        """Take up workers that join, and look for a scheduler that went away."""
        pause = _LOOK_EVERY
        while True:
            await anyio.sleep(pause)
            try:
                if self._client is None:
                    await self.connect()
                    logger.info("%s is back", self._address)
                await self._look()
                pause = _LOOK_EVERY
            except (*LOST, BackendUnavailableError) as error:
                logger.debug("%s is away: %s", self._address, error)
                pause = min(2 * pause, _LONGEST_PAUSE)
                if self._client is not None:
                    await self.disconnect()

    async def start(self, name: str) -> ActorWorker:
        """Begin a backend on a worker that has none.

        Args:
            name: The backend's.

        Raises:
            OSError: There is none.
            ConfigError: The worker's environment names no backend.
        """
        client = self._client
        if client is None:
            raise OSError(f"no scheduler answers at {self._address}")
        try:
            if anyio.current_time() - self._looked_at > _LOOK_EVERY / 2:
                self._present &= set(await self._workers())  # no step for one that has just died
            binding = self._bound[name] = _Binding(self._free())
        except LOST as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        self._failed.add(binding.address)
        unbind = partial(self._unbind, name, binding)
        try:
            with anyio.fail_after(_ANSWERS_WITHIN):
                worker = await begin_actor(client, binding.address, self._make, unbind)
        except BaseException:
            unbind()
            raise
        self._failed.discard(binding.address)
        binding.pipe = worker.pipe
        logger.debug("%s is on %s", name, binding.address)
        return worker

    def _unbind(self, name: str, binding: _Binding) -> None:
        if self._bound.get(name) is binding:  # it may be on another one by now
            del self._bound[name]

    def _close_gone(self) -> None:
        """Have nobody wait for a worker that is not there; its connection may not say so."""
        for binding in self._bound.values():
            if binding.pipe is not None and binding.address not in self._present:
                binding.pipe.close()

    def _free(self) -> str:
        """Return the address of a worker that has no backend.

        Raises:
            OSError: There is none.
        """
        free = self._present - {binding.address for binding in self._bound.values()}
        if not free:
            raise OSError("no worker of the cluster is free")
        # One whose machine is off is in the scheduler's list for minutes: the others first.
        return min(free, key=self._failed.__contains__)

    async def _look(self) -> None:
        """Take up the workers that have joined since the last look."""
        if self._client.status != "running":
            raise OSError("the connection to the scheduler is lost")
        there = set(await self._workers())
        for known in (self._present, self._refused, self._failed):
            known &= there
        self._close_gone()
        wrong = await self._wrong(there - self._present - self._refused)
        for address, line in wrong.items():
            if line:
                self._refused.add(address)
                logger.warning("%s; it gets no step", line)
        joined = {address for address, line in wrong.items() if not line}
        self._present |= joined
        await self._offer(len(joined))

    async def _offer(self, count: int) -> None:
        """Have so many workers that have joined taken: first by backends that have none."""
        waiting = [each for each in self.backends if each.name not in self._bound]
        for _ in range(count):
            await self._join.send(waiting.pop(0) if waiting else self._add())

    def _add(self) -> WorkerBackend:
        name = f"dask {len(self.backends) + 1}"
        self.backends.append(WorkerBackend(name, partial(self.start, name), remote=True))
        return self.backends[-1]

    async def _workers(self) -> Collection[str]:
        """Return the addresses of the workers that are there."""
        with anyio.fail_after(_ANSWERS_WITHIN):
            there: dict[str, int] = await self._client.scheduler.ncores()
        self._looked_at = anyio.current_time()
        return list(there)

    async def _wrong(self, addresses: Iterable[str]) -> dict[str, str]:
        """Return what is wrong with workers, by their addresses; those that have gone are left out.

        What is asked is a function of Python's own: a worker that lacks this package has it.
        """
        asked = list(addresses)
        if not asked:
            return {}
        with anyio.fail_after(_ANSWERS_WITHIN):
            told = await self._client.run(
                version_of, _PACKAGE, workers=asked, nanny=False, on_error="return"
            )
        expected = version_of(_PACKAGE)
        wrong: dict[str, str] = {}
        for address, found in told.items():
            if isinstance(found, PackageNotFoundError):
                wrong[address] = f"worker {address} has no {_PACKAGE}; expected {expected}"
            elif not isinstance(found, Exception):
                same = found == expected
                line = f"worker {address} has {_PACKAGE} {found}; expected {expected}"
                wrong[address] = "" if same else line
        return wrong


async def _see_that_somebody_listens(address: str) -> None:
    """Try an address once: Dask tries it for as long as it may, whatever it hears.

    Raises:
        ValueError: It is no address.
        OSError: Nobody does.
    """
    from distributed.comm.addressing import get_address_host_port, parse_address

    host, port = get_address_host_port(address)
    if not 0 < port < 1 << 16:
        raise ValueError(f"there is no port {port}")
    if parse_address(address)[0] in ("tcp", "tls"):
        async with await anyio.connect_tcp(host, port):
            pass


async def _closed(client: Any) -> None:
    """Close a client of Dask's."""
    with anyio.move_on_after(_CLOSED_WITHIN, shield=True), suppress(*LOST):
        await client.close()


def _imported_client() -> Any:
    """Return Dask's class; for a thread, for it takes a while."""
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError(NOT_INSTALLED) from None
    return Client


@asynccontextmanager
async def dask_cluster(
    address: str, make: MakeBackend, *, direct: bool | None = None
) -> AsyncIterator[DaskCluster]:
    """Hold a backend for each worker of a cluster, for as long as this is entered.

        async with dask_cluster("tcp://scheduler:8786", make) as cluster:
            async with open_app(backends=cluster.backends, joining=cluster.joining) as app:

    Args:
        address: The scheduler's.
        make: Makes the backend of a worker, there; a function or class that can be imported there.
        direct: Whether workers are spoken to by us, whatever Dask's own settings say.

    Raises:
        ConfigError: Dask is not installed, or the cluster cannot be used.
        BackendUnavailableError: No scheduler answers.
    """
    cluster = DaskCluster(address, make, direct=direct)
    try:
        await cluster.connect()
        await cluster.take_all()
        with ungrouped():
            async with anyio.create_task_group() as beside:
                beside.start_soon(cluster.watch)
                yield cluster
                beside.cancel_scope.cancel()
    finally:
        cluster.close()
        await cluster.disconnect()

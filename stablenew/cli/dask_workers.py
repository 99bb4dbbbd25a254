"""The workers of a Dask cluster, which share a plan; one on this machine is started from here."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import attrs

from stablenew.app import make_backend
from stablenew.backends.base import Backend
from stablenew.backends.dask import NOT_INSTALLED
from stablenew.backends.dask.cluster import dask_cluster
from stablenew.cli.job_values import LOCAL, settings_of
from stablenew.cli.options import RunOptions, options_from_environment
from stablenew.cli.workers import ONE_THREAD, worker_backends
from stablenew.config.settings import Settings
from stablenew.errors import BackendUnavailableError, ConfigError, ungrouped

_WORKERS = 2
"""How many `local` has where nobody says it."""

_AGAIN_AFTER = 1.0
"""Seconds after which a worker is started again that has died."""

_READ = ("STABLENEW_URL", "STABLENEW_BACKEND", "STABLENEW_AUTH")
"""What the environment of a worker may say."""

_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application")
"""Those that Dask gives a level of their own."""


@attrs.frozen(kw_only=True)
class SharedBy:
    """What a plan is shared by.

    Attributes:
        backends: None where that is left to the settings.
        joining: Where more of them come from; None for nowhere.
    """

    backends: Sequence[Backend] | None = None
    joining: AsyncIterable[Backend] | None = None


def embedded_here() -> Backend:
    """Return the embedded model's backend; runs on a worker of `local`."""
    return make_backend(Settings())


def backend_here() -> Backend:
    """Return the backend that the environment of a worker names; runs on the worker.

    Raises:
        ConfigError: It names none.
    """
    return named_backend(os.environ)


def named_backend(environ: Mapping[str, str]) -> Backend:
    """Return the backend that an environment names.

    Raises:
        ConfigError: It names none.
    """
    given = options_from_environment({name: environ.get(name, "") for name in _READ})
    if len(given.servers) > 1:
        raise ConfigError(f"STABLENEW_URL: given {len(given.servers)}, expected one for a worker")
    return make_backend(settings_of(given, RunOptions()))


@asynccontextmanager
async def shared_by(dask: str | None, workers: int | None) -> AsyncIterator[SharedBy]:
    """Hold the backends that share a plan.

    Args:
        dask: The address of a scheduler, or `local`.
        workers: How many processes of this machine.

    Raises:
        ConfigError: Dask is not installed, or the workers cannot be used.
        BackendUnavailableError: No scheduler answers.
    """
    if dask is None:
        yield SharedBy(backends=worker_backends(workers) if workers else None)
        return
    level = "info" if logging.getLogger().isEnabledFor(logging.DEBUG) else "critical"
    make_scheduler = await anyio.to_thread.run_sync(_import_quietly, level)
    if dask == LOCAL:
        async with (
            _local(make_scheduler, workers or _WORKERS, level) as address,
            dask_cluster(address, embedded_here, direct=True) as cluster,
        ):
            yield SharedBy(backends=cluster.backends, joining=cluster.joining)
    else:
        async with dask_cluster(dask, backend_here) as cluster:
            yield SharedBy(backends=cluster.backends, joining=cluster.joining)


def _import_quietly(level: str) -> Any:
    """Return what makes a scheduler in a folder, with Dask's lines kept off the terminal; blocks.

    Raises:
        ConfigError: Dask is not installed.
    """
    try:
        import dask
        from distributed import Scheduler
    except ImportError:
        raise ConfigError(NOT_INSTALLED) from None
    warnings.filterwarnings("ignore", module="distributed")  # of packages in other versions
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(level.upper())

    def make(folder: str) -> Any:
        with dask.config.set({"temporary-directory": folder}):
            return Scheduler(host="127.0.0.1", port=0, dashboard_address=":0")

    return make


@asynccontextmanager
async def _local(make_scheduler: Any, count: int, level: str) -> AsyncIterator[str]:
    """Run a scheduler here, and workers in processes of their own; give its address.

    Dask's own `LocalCluster` starts them in our session, where each Ctrl-C is theirs as well.
    """
    ready = anyio.Event()
    with tempfile.TemporaryDirectory(prefix="stablenew-") as folder, ungrouped():
        async with (
            make_scheduler(folder) as running,
            anyio.create_task_group() as keepers,
        ):
            words = [running.address, "--local-directory", folder]
            for _ in range(count):
                keepers.start_soon(_keep_worker, words, level, ready)
            while len(running.workers) < count:  # noqa: ASYNC110  # it tells only its own clients
                await anyio.sleep(0.02)
            ready.set()
            yield running.address
            keepers.cancel_scope.cancel()


async def _keep_worker(words: Sequence[str], level: str, ready: anyio.Event) -> None:
    """Run a worker, and start it again where it dies.

    Raises:
        BackendUnavailableError: It died before it was ready.
    """
    program = [sys.executable, "-m", "distributed.cli.dask_worker", *words]
    program += ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--memory-limit", "0"]
    while True:
        async with await anyio.open_process(
            program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None,
            env={**os.environ, **ONE_THREAD, "DASK_LOGGING__DISTRIBUTED": level},
            start_new_session=True,
        ) as process:
            code = await process.wait()
        if not ready.is_set():
            raise BackendUnavailableError(f"a worker of {LOCAL} ended with exit code {code}")
        await anyio.sleep(_AGAIN_AFTER)

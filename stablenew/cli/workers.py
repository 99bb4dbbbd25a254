"""Processes of the embedded model, which share a plan: started here, ended with the program."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import cast

import anyio
import attrs
from anyio.abc import AnyByteReceiveStream, AnyByteSendStream, Process

from stablenew.backends.worker.backend import WorkerBackend

_ENDED_WITHIN = 5.0

ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Several processes have the cores between them."""


@attrs.frozen
class WorkerProcess:
    """A process that runs `stablenew.cli.worker`."""

    process: Process

    @property
    def receive(self) -> AnyByteReceiveStream:
        """Where its frames come from."""
        return cast(AnyByteReceiveStream, self.process.stdout)

    @property
    def send(self) -> AnyByteSendStream:
        """Where frames for it go."""
        return cast(AnyByteSendStream, self.process.stdin)

    async def end(self) -> None:
        """Kill it: it keeps nothing."""
        with suppress(ProcessLookupError):
            self.process.kill()
        with anyio.move_on_after(_ENDED_WITHIN, shield=True):
            await self.process.aclose()


async def start_worker() -> WorkerProcess:
    """Start a process; in a session of its own, so that a Ctrl-C is for the program alone.

    Raises:
        OSError: It cannot be started.
    """
    process = await anyio.open_process(
        [sys.executable, "-m", "stablenew.cli.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env={**os.environ, **ONE_THREAD},
        start_new_session=True,
    )
    return WorkerProcess(process)


def worker_backends(count: int) -> list[WorkerBackend]:
    """Return backends that run in a process each, started when they are first asked."""
    return [WorkerBackend(f"embedded {number}", start_worker) for number in range(1, count + 1)]

"""`python -m stablenew.cli.worker`: a process of the embedded model, for whoever starts it.

It does what comes in on stdin and answers on stdout, until stdin ends: with its program.
"""

from __future__ import annotations

import os

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, ByteSendStream

from stablenew.backends.embedded.backend import EmbeddedBackend
from stablenew.backends.worker.serving import WorkerServer


class _Reading(ByteReceiveStream):
    """A descriptor that is read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await anyio.to_thread.run_sync(
            os.read, self._descriptor, max_bytes, abandon_on_cancel=True
        )
        if not data:
            raise anyio.EndOfStream
        return data

    async def aclose(self) -> None:
        os.close(self._descriptor)


class _Writing(ByteSendStream):
    """A descriptor that is written to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def send(self, item: bytes) -> None:
        try:
            await anyio.to_thread.run_sync(self._write, item)
        except OSError as error:
            raise anyio.BrokenResourceError from error

    def _write(self, item: bytes) -> None:
        view = memoryview(item)
        while view:
            view = view[os.write(self._descriptor, view) :]

    async def aclose(self) -> None:
        os.close(self._descriptor)


def main() -> None:
    """Serve until the program goes away; what anything prints goes to stderr."""
    answers = os.dup(1)
    os.dup2(2, 1)
    anyio.run(WorkerServer(EmbeddedBackend(), _Reading(0), _Writing(answers)).run)


if __name__ == "__main__":
    main()

"""A worker's end: a backend that does what frames ask for, until nobody asks any more."""

from __future__ import annotations

import anyio
from anyio.abc import AnyByteReceiveStream, AnyByteSendStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stablenew.backends.base import Backend, StageRequest
from stablenew.backends.worker.frames import GONE, Frame, as_bytes, read_frame
from stablenew.errors import BackendError, StableNewError


class WorkerServer:
    """Does what frames ask for.

    Args:
        backend: Does it.
        receive: Where frames come from.
        send: Where they go.
    """

    def __init__(
        self, backend: Backend, receive: AnyByteReceiveStream, send: AnyByteSendStream
    ) -> None:
        self._backend = backend
        self._receive = BufferedByteReceiveStream(receive)
        self._send = send
        self._sending = anyio.Lock()
        self._calls: dict[int, anyio.CancelScope] = {}

    async def run(self) -> None:
        """Serve until the other end goes away."""
        async with self._backend, anyio.create_task_group() as calls:
            while True:
                try:
                    frame = await read_frame(self._receive)
                except GONE:
                    calls.cancel_scope.cancel()
                    return
                if frame.kind == "cancel":
                    if (scope := self._calls.get(frame.call)) is not None:
                        scope.cancel()
                else:
                    calls.start_soon(self._answer, frame)

    async def _answer(self, frame: Frame) -> None:
        """Do what a frame asks for, and say what came of it."""
        answer = as_bytes(Frame(frame.call, "cancelled"))
        with anyio.CancelScope() as scope:
            self._calls[frame.call] = scope
            try:
                answer = as_bytes(Frame(frame.call, "result", await self._done(frame)))
            except Exception as error:  # noqa: BLE001  # whatever a backend raises is an error of its call alone
                answer = as_bytes(Frame(frame.call, "error", _portable(error)))
        del self._calls[frame.call]
        await self._say(answer)

    async def _done(self, frame: Frame) -> object:
        if frame.kind == "capabilities":
            return await self._backend.capabilities()
        if frame.kind == "interrupt":
            return await self._backend.interrupt(str(frame.value))
        assert isinstance(frame.value, StageRequest), frame.kind

        async def report(
            fraction: float, *, seconds_left: float | None = None, preview: bytes | None = None
        ) -> None:
            told = (fraction, seconds_left, preview)
            await self._say(as_bytes(Frame(frame.call, "report", told)))

        return list(await self._backend.run_stage(frame.value, report))

    async def _say(self, frame: bytes) -> None:
        async with self._sending:
            try:
                await self._send.send(frame)
            except GONE:
                return  # nobody hears it; `run` sees that as well


def _portable(error: Exception) -> Exception:
    """Return an error as another process can have it: ours can, of others nobody knows."""
    if isinstance(error, StableNewError):
        return error
    return BackendError(f"{type(error).__name__}: {error}")

"""Drives a backend in another process; that is started by whoever is asked for it, not from here.

A process that dies costs the picture in the making; it is started again when it is looked for.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol, Self

import anyio
import anyio.abc
import attrs
from anyio.abc import AnyByteReceiveStream, AnyByteSendStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    Picture,
    ReportProgress,
    StageRequest,
)
from stablenew.backends.worker.frames import GONE, Frame, as_bytes, read_frame
from stablenew.errors import BackendUnavailableError, ungrouped

logger = logging.getLogger(__name__)

_SENT_WITHIN = 10.0
"""Seconds that a process has to take a frame."""


class Worker(Protocol):
    """A process that is there, and its pipes."""

    @property
    def receive(self) -> AnyByteReceiveStream:
        """Where its frames come from."""
        ...

    @property
    def send(self) -> AnyByteSendStream:
        """Where frames for it go."""
        ...

    async def end(self) -> None:
        """End it, and wait until it has ended."""
        ...


@attrs.define(eq=False)
class _Call:
    """A call under way: its frames, the last of which says what came of it."""

    frames: list[Frame] = attrs.field(factory=list)
    changed: anyio.Event = attrs.field(factory=anyio.Event)

    def take(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.changed.set()

    async def next(self) -> Frame:
        while not self.frames:
            self.changed = anyio.Event()
            await self.changed.wait()
        return self.frames.pop(0)


class WorkerBackend:
    """Drives a backend in another process.

    Args:
        name: What to call it: `embedded 1`.
        start: Starts the process; called again where that has died.
        remote: Whether it is on another machine: what does not answer may still be at its job.
    """

    def __init__(
        self, name: str, start: Callable[[], Awaitable[Worker]], *, remote: bool = False
    ) -> None:
        self.name = name
        self._start = start
        self._remote = remote
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._worker: Worker | None = None
        self._running: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self._turn, self._sending = anyio.Lock(), anyio.Lock()
        async with AsyncExitStack() as stack:
            stack.enter_context(ungrouped())
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._stack.__aexit__(kind, error, traceback)
        finally:
            if self._worker is not None:
                await self._worker.end()

    async def capabilities(self) -> Capabilities:
        """Start the process where it is not there, and ask it what it can do.

        Raises:
            BackendUnavailableError: It does not start, or died.
        """
        async with self._turn:
            if self._worker is None:
                await self._begin()
        told = await self._asked("capabilities")
        assert isinstance(told, Capabilities)
        return told

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Make one picture there.

        Raises:
            BackendUnavailableError: The process died.
            BackendError: What the backend there raised.
        """
        number = self._running[request.request_id] = next(self._numbers)
        try:
            made = await self._asked("run_stage", request, report, number=number)
        except anyio.get_cancelled_exc_class():
            raise  # it is stopped by `interrupt`, which knows its number
        except BaseException:
            del self._running[request.request_id]
            raise
        del self._running[request.request_id]
        assert isinstance(made, list)
        return made

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Stop a job there, and wait until it is gone."""
        number = self._running.pop(request_id, None)
        started = anyio.current_time()
        try:
            if number is not None:
                await self._say(Frame(number, "cancel"))
            receipt = await self._asked("interrupt", request_id)
        except BackendUnavailableError as error:
            return InterruptReceipt(
                request_id=request_id,
                call="",
                confirmed=not self._remote,  # with a process of this machine its job is gone
                seconds=anyio.current_time() - started,
                detail=str(error),
            )
        assert isinstance(receipt, InterruptReceipt)
        return receipt

    async def _begin(self) -> None:
        try:
            self._worker = await self._start()
        except OSError as error:
            raise BackendUnavailableError(f"{self.name} does not start: {error}") from error
        self._tasks.start_soon(self._hear, self._worker)

    async def _hear(self, worker: Worker) -> None:
        """Hand what a process says to the calls that it is about, until it dies."""
        stream = BufferedByteReceiveStream(worker.receive)
        while True:
            try:
                frame = await read_frame(stream)
            except GONE:
                break
            if (call := self._calls.get(frame.call)) is not None:
                call.take(frame)
        logger.debug("%s has died", self.name)
        self._worker = None
        for number, call in self._calls.items():
            call.take(Frame(number, "error", self._died()))
        await worker.end()

    def _died(self) -> BackendUnavailableError:
        what = f"the worker of {self.name} went away"
        if not self._remote:
            what = f"the process of {self.name} died"
        return BackendUnavailableError(what, retryable=True)

    async def _say(self, frame: Frame) -> None:
        worker = self._worker
        if worker is None:
            raise self._died()
        try:
            # Half a frame would be the end of all.
            with anyio.move_on_after(_SENT_WITHIN, shield=True):
                async with self._sending:
                    await worker.send.send(as_bytes(frame))
                return
            await worker.end()
            raise self._died()
        except GONE:
            raise self._died() from None

    async def _asked(
        self,
        kind: str,
        value: object = None,
        report: ReportProgress | None = None,
        *,
        number: int | None = None,
    ) -> object:
        """Return what comes of a call, having passed its reports on."""
        number = next(self._numbers) if number is None else number
        call = self._calls[number] = _Call()
        try:
            await self._say(Frame(number, kind, value))
            while True:
                frame = await call.next()
                if frame.kind == "result":
                    return frame.value
                if frame.kind == "error":
                    assert isinstance(frame.value, Exception)
                    raise frame.value
                if frame.kind == "report" and report is not None:
                    assert isinstance(frame.value, tuple)
                    fraction, seconds_left, preview = frame.value
                    await report(fraction, seconds_left=seconds_left, preview=preview)
        finally:
            del self._calls[number]

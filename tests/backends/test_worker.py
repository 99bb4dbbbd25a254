"""A backend at the other end of two pipes: what it says arrives as it was said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import attrs
import pytest
from anyio.abc import AnyByteReceiveStream, AnyByteSendStream, TaskGroup

from stablenew.backends.base import Picture, StageRequest
from stablenew.backends.fake import FAKE_CAPABILITIES, Behaviour, FakeBackend, fake_picture
from stablenew.backends.worker.backend import WorkerBackend
from stablenew.backends.worker.serving import WorkerServer
from stablenew.errors import BackendError, BackendRejectedError, BackendUnavailableError

BOTH_LOOPS = True
REQUEST = StageRequest(request_id="r", stage="txt2img", settings={"prompt": "a cat", "seed": 1})


@attrs.define(eq=False)
class Worker:
    """The other end, in a task of this process."""

    receive: AnyByteReceiveStream
    send: AnyByteSendStream
    scope: anyio.CancelScope
    ended: int = 0

    async def end(self) -> None:
        self.ended += 1
        self.scope.cancel()
        await self.receive.aclose()
        await self.send.aclose()


class Workers:
    """Starts them."""

    def __init__(self, group: TaskGroup, backend: FakeBackend) -> None:
        self.started: list[Worker] = []
        self._group = group
        self._backend = backend

    async def start(self) -> Worker:
        there, to_there = anyio.create_memory_object_stream[bytes](100)
        from_there, here = anyio.create_memory_object_stream[bytes](100)
        scope = anyio.CancelScope()

        async def serve() -> None:
            with scope, to_there, from_there:
                await WorkerServer(self._backend, to_there, from_there).run()

        self._group.start_soon(serve)
        self.started.append(Worker(here, there, scope))
        return self.started[-1]


@asynccontextmanager
async def worker(
    behaviour: Behaviour = Behaviour(),
) -> AsyncIterator[tuple[WorkerBackend, FakeBackend, Workers]]:
    fake = FakeBackend(behaviour)
    async with anyio.create_task_group() as group:
        workers = Workers(group, fake)
        async with WorkerBackend("worker 1", workers.start) as backend:
            yield backend, fake, workers
        assert workers.started == [] or workers.started[-1].ended
        group.cancel_scope.cancel()


async def draw(backend: WorkerBackend) -> tuple[list[Picture], list[float]]:
    fractions: list[float] = []

    async def report(fraction: float, **_: object) -> None:
        fractions.append(fraction)

    return list(await backend.run_stage(REQUEST, report)), fractions


async def test_what_it_can_do_and_makes_arrives_as_it_is() -> None:
    async with worker() as (backend, fake, _):
        assert await backend.capabilities() == FAKE_CAPABILITIES
        made, fractions = await draw(backend)
    assert made == [fake_picture(REQUEST)]
    assert fractions == [0.5, 1.0]
    assert fake.calls == [REQUEST]


async def test_errors_arrive_as_they_were_raised_and_others_as_ours() -> None:
    refused = BackendRejectedError("no", stage="txt2img", status=422)
    for error in (refused, KeyError("x")):
        async with worker(Behaviour(error=error)) as (backend, _, _):
            await backend.capabilities()
            with pytest.raises(BackendError) as caught:
                await draw(backend)
        if error is refused:
            assert isinstance(caught.value, BackendRejectedError)
            assert (caught.value.status, str(caught.value)) == (422, "no")
        else:
            assert str(caught.value) == "KeyError: 'x'"


async def test_an_interrupt_stops_the_job_there_and_returns_its_receipt() -> None:
    async with worker(Behaviour(hang=True)) as (backend, fake, _):
        await backend.capabilities()
        async with anyio.create_task_group() as drawing:
            drawing.start_soon(draw, backend)
            while not fake.calls:
                await anyio.sleep(0.001)
            drawing.cancel_scope.cancel()
        receipt = await backend.interrupt("r")
        assert (receipt.request_id, receipt.call, receipt.confirmed) == ("r", "noted", True)
        assert fake.interrupts == ["r"]
        fake._behaviour = Behaviour()
        made, _ = await draw(backend)
        assert len(made) == 1
    assert fake.most_running == 1


async def test_one_that_dies_is_no_answer_and_is_started_again_when_it_is_looked_for() -> None:
    async with worker(Behaviour(hang=True)) as (backend, fake, workers):
        await backend.capabilities()

        async def die() -> None:
            while not fake.calls:
                await anyio.sleep(0.001)
            workers.started[0].scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(die)
            with pytest.raises(BackendUnavailableError, match="worker 1 died") as caught:
                await draw(backend)
        assert caught.value.retryable
        with pytest.raises(BackendUnavailableError):
            await draw(backend)
        assert (await backend.interrupt("r")).confirmed
        fake._behaviour = Behaviour()
        assert await backend.capabilities() == FAKE_CAPABILITIES
        made, _ = await draw(backend)
        assert len(made) == 1
    assert len(workers.started) == 2


async def test_one_that_cannot_be_started_is_no_answer() -> None:
    async def start() -> Worker:
        raise FileNotFoundError("no python")

    async with WorkerBackend("worker 1", start) as backend:
        with pytest.raises(BackendUnavailableError, match="worker 1 does not start: no python"):
            await backend.capabilities()

"""A backend that goes away while it makes a picture."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import anyio
import attrs
import pytest

from stablenew.backends.base import Capabilities, StageRequest
from stablenew.backends.fake import FAKE_CAPABILITIES, Behaviour, FakeBackend
from stablenew.errors import BackendProtocolError, BackendUnavailableError, StageTimeoutError
from stablenew.events.bus import EventBus
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import BackendAwaited, BackendLost, BackendReturned
from stablenew.pipeline.stage_plan import plan_stages
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.support import Listener, MemoryStore, request

BOTH_LOOPS = True

GONE = BackendUnavailableError("connection reset", retryable=True)


class Leaving(FakeBackend):
    """Does not say what it can do for the first few times that it is asked."""

    def __init__(
        self, behaviour: Callable[[StageRequest, int], Behaviour], *, away_for: int = 0
    ) -> None:
        super().__init__(behaviour)
        self.asked = 0
        self._away_for = away_for

    async def capabilities(self) -> Capabilities:
        self.asked += 1
        if self.asked <= self._away_for:
            raise BackendUnavailableError("nobody there")
        return FAKE_CAPABILITIES


def failing_at(*calls: int, error: Exception = GONE) -> Callable[[StageRequest, int], Behaviour]:
    return lambda _, call: Behaviour(error=error if call in calls else None)


@pytest.fixture
async def bus() -> AsyncIterator[EventBus]:
    async with EventBus(strict=True) as bus:
        yield bus


async def outcome(bus: EventBus, backend: FakeBackend, patience: float = 20.0) -> Outcome:
    sequencer = StageSequencer(backend, bus, MemoryStore(), wait_for_backend=patience)
    run = request(images=2)
    return (await sequencer.run(plan_stages(run.config, FAKE_CAPABILITIES), run)).outcome


async def test_the_picture_that_was_cut_is_made_again_and_no_other(bus: EventBus) -> None:
    listener = Listener(bus)
    backend = Leaving(failing_at(2), away_for=1)
    assert await outcome(bus, backend) is Outcome.SUCCEEDED
    await bus.drain()
    assert [call.request_id for call in backend.calls] == [
        "run-1-txt2img_1",
        "run-1-txt2img_2",
        "run-1-txt2img_2",
    ]
    told = [e for e in listener.events if isinstance(e, BackendLost | BackendReturned)]
    assert [type(event) for event in told] == [BackendLost, BackendReturned]
    assert [e.seconds_left <= 20 for e in listener.of(BackendAwaited)] == [True, True]


async def test_it_is_made_again_once(bus: EventBus) -> None:
    backend = Leaving(failing_at(1, 2))
    assert await outcome(bus, backend) is Outcome.FAILED
    assert len(backend.calls) == 2


async def test_a_backend_that_stays_away_is_given_up(bus: EventBus) -> None:
    listener = Listener(bus)
    backend = Leaving(failing_at(1), away_for=1_000)
    assert await outcome(bus, backend, patience=0.3) is Outcome.FAILED
    await bus.drain()
    assert len(backend.calls) == 1
    assert len(listener.of(BackendLost)) == 1
    assert listener.of(BackendReturned) == []


async def test_without_patience_nothing_is_waited_for(bus: EventBus) -> None:
    backend = Leaving(failing_at(1))
    assert await outcome(bus, backend, patience=0) is Outcome.FAILED
    assert (len(backend.calls), backend.asked) == (1, 0)


@pytest.mark.parametrize(
    "error",
    [
        BackendUnavailableError("gone for good"),
        BackendProtocolError("another sampler"),
        StageTimeoutError("stalled", retryable=True),
    ],
)
async def test_what_is_not_worth_a_second_try_gets_none(bus: EventBus, error: Exception) -> None:
    backend = Leaving(failing_at(1, error=error))
    await outcome(bus, backend)
    assert len(backend.calls) == 1


async def test_waiting_can_be_cancelled(bus: EventBus) -> None:
    backend = Leaving(failing_at(1), away_for=1_000)
    with anyio.CancelScope() as scope:

        async def cancel(_: BackendAwaited) -> None:
            scope.cancel()

        bus.subscribe(BackendAwaited, cancel)
        await outcome(bus, backend, patience=1_000)
    assert scope.cancelled_caught
    assert len(backend.calls) == 1


async def test_another_backend_that_comes_back_in_its_place_is_noticed(bus: EventBus) -> None:
    """One that would not do the same makes nothing; the next run is planned for it."""

    class Another(Leaving):
        async def capabilities(self) -> Capabilities:
            self.asked += 1
            return attrs.evolve(FAKE_CAPABILITIES, version="another", stages=OTHER_STAGES)

    backend = Another(failing_at(1))
    sequencer = StageSequencer(backend, bus, MemoryStore(), wait_for_backend=20.0)
    run = request(images=1)
    result = await sequencer.run(plan_stages(run.config, FAKE_CAPABILITIES), run)
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert "another backend (fake another)" in result.error.message
    assert len(backend.calls) == 1
    runner = PipelineRunner(backend, sequencer)
    assert (await runner.capabilities()).version == "another"


OTHER_STAGES = {
    **FAKE_CAPABILITIES.stages,
    "txt2img": {**FAKE_CAPABILITIES.stages["txt2img"], "steps": 30},
}

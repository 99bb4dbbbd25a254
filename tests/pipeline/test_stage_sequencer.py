"""The sequencer with a real, strict bus and no file, on both loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from stablenew.backends.base import InterruptReceipt, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FAKE_CAPABILITIES, Behaviour, FakeBackend, fake_picture
from stablenew.errors import BackendRejectedError, StageTimeoutError
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_events import (
    PictureSaved,
    RunFinished,
    RunStarted,
    StageFinished,
    StageProgress,
    StageStarted,
)
from stablenew.pipeline.stage_plan import plan_stages
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.support import Listener, MemoryStore, pass_time, request, ticking_clock

BOTH_LOOPS = True


@pytest.fixture
async def bus() -> AsyncIterator[EventBus]:
    async with EventBus(strict=True) as bus:
        yield bus


class Bench:
    """A sequencer with what it needs, and what was heard of it."""

    def __init__(
        self,
        bus: EventBus,
        behaviour: Behaviour | Callable[[StageRequest, int], Behaviour] = Behaviour(),
        **options: float,
    ) -> None:
        self.bus = bus
        self.backend = FakeBackend(behaviour)
        self.store = MemoryStore()
        self.listener = Listener(bus)
        self.sequencer = StageSequencer(self.backend, bus, self.store, **options)  # type: ignore[arg-type]

    async def run(self, run: RunRequest) -> PipelineRunResult:
        plan = plan_stages(run.config, FAKE_CAPABILITIES)
        try:
            return await self.sequencer.run(plan, run)
        finally:
            with anyio.CancelScope(shield=True):
                await self.bus.drain()


def calls(bench: Bench, stage: str) -> list[StageRequest]:
    return [call for call in bench.backend.calls if call.stage == stage]


async def test_everything_is_told_in_order(bus: EventBus) -> None:
    bench = Bench(bus)
    result = await bench.run(request(upscale={}))
    assert bench.listener.names(StageProgress) == [
        "RunStarted",
        "StageStarted",
        "PictureSaved",
        "StageFinished",
        "StageStarted",
        "PictureSaved",
        "StageFinished",
        "RunFinished",
    ]
    assert result.success
    assert bench.listener.of(RunFinished)[0].result is result
    assert bench.listener.of(RunStarted)[0].stages == ("txt2img", "upscale")
    assert all(event.run_id == "run-1" for event in bench.listener.events)


async def test_progress_never_goes_back_and_covers_all_pictures(bus: EventBus) -> None:
    bench = Bench(bus, Behaviour(progress=(0.5, 0.3, 0.9, 0.1, 1.7)))
    await bench.run(request(images=3))
    fractions = [event.fraction for event in bench.listener.of(StageProgress)]
    assert fractions == sorted(fractions)
    assert max(fractions) == 1.0
    assert {event.image for event in bench.listener.of(StageProgress)} == {1, 2, 3}


async def test_each_picture_has_its_own_seed_and_the_first_ones_is_the_given(
    bus: EventBus,
) -> None:
    bench = Bench(bus)
    result = await bench.run(request(images=3, img2img={}))
    assert [call.settings["seed"] for call in calls(bench, "txt2img")] == [1, 2, 3]
    assert [call.settings["seed"] for call in calls(bench, "img2img")] == [1, 2, 3]
    assert [output.settings["seed"] for output in result.final_outputs] == [1, 2, 3]


async def test_each_stage_works_on_the_pictures_of_the_one_before(bus: EventBus) -> None:
    bench = Bench(bus)
    result = await bench.run(request(images=2, img2img={}, upscale={}))
    made = {output.image_id: bench.store.pictures[output.path] for output in result.outputs}
    assert [call.image for call in calls(bench, "img2img")] == [
        made["txt2img_1"],
        made["txt2img_2"],
    ]
    assert [call.image for call in calls(bench, "upscale")] == [
        made["img2img_1"],
        made["img2img_2"],
    ]


async def test_an_upscaled_picture_says_what_its_source_was_made_with(bus: EventBus) -> None:
    result = await Bench(bus).run(request(upscale={"upscaler_1": "Nearest"}))
    (output,) = result.final_outputs
    assert output.stage == "upscale"
    assert output.settings["prompt"] == "a cat"
    assert output.settings["sampler_name"] == "Euler"
    assert output.settings["upscaler_1"] == "Nearest"


async def test_pictures_are_made_one_at_a_time(bus: EventBus) -> None:
    bench = Bench(bus, Behaviour(delay=0.001))
    await bench.run(request(images=5, upscale={}))
    assert bench.backend.most_running == 1


async def test_a_stage_without_an_image_has_failed_and_ends_the_run(bus: EventBus) -> None:
    bench = Bench(bus, Behaviour(images=0))
    result = await bench.run(request(upscale={}))
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert result.error.stage == "txt2img"
    assert "no image" in result.error.message
    assert calls(bench, "upscale") == []


async def test_a_stage_is_not_run_again_because_of_its_own_error(bus: EventBus) -> None:
    error = BackendRejectedError("out of memory", status=500, retryable=True)
    bench = Bench(bus, Behaviour(error=error))
    result = await bench.run(request())
    assert len(bench.backend.calls) == 1
    assert result.error is not None
    assert (result.error.kind, result.error.message) == ("BackendRejectedError", "out of memory")


@pytest.mark.parametrize(
    "error", [BackendRejectedError("no"), ValueError("a bug"), OSError(28, "full")]
)
async def test_whatever_a_backend_raises_is_an_outcome_and_keeps_what_was_done(
    bus: EventBus, error: Exception
) -> None:
    bench = Bench(bus, lambda request, call: Behaviour(error=error if call == 3 else None))
    result = await bench.run(request(images=2, upscale={}))
    assert result.outcome is Outcome.FAILED
    assert [output.image_id for output in result.outputs] == ["txt2img_1", "txt2img_2"]
    assert [stage.outcome for stage in result.stage_results] == [
        Outcome.SUCCEEDED,
        Outcome.FAILED,
    ]
    assert bench.listener.names(StageProgress)[-2:] == ["StageFinished", "RunFinished"]


async def test_a_picture_that_cannot_be_kept_fails_the_run(bus: EventBus) -> None:
    bench = Bench(bus)
    bench.store.save_error = OSError(28, "No space left on device")
    result = await bench.run(request())
    assert result.outcome is Outcome.FAILED
    assert "No space left" in str(result.error)


async def test_metadata_that_cannot_be_kept_fails_the_run(bus: EventBus) -> None:
    bench = Bench(bus)
    bench.store.conclude_error = OSError(28, "No space left on device")
    result = await bench.run(request())
    assert result.outcome is Outcome.FAILED
    assert bench.listener.of(RunFinished)[0].result.outcome is Outcome.FAILED


async def test_what_is_concluded_is_what_is_told(bus: EventBus) -> None:
    bench = Bench(bus)
    result = await bench.run(request())
    assert bench.store.results == [result]
    assert bench.sequencer.last_result is result


async def test_a_stalled_stage_times_out_and_the_backend_is_asked_to_stop(bus: EventBus) -> None:
    bench = Bench(bus, Behaviour(hang=True), stall_timeout=0.05)
    result = await bench.run(request())
    assert result.outcome is Outcome.TIMED_OUT
    assert result.error is not None
    assert result.error.kind == "StageTimeoutError"
    assert bench.backend.interrupts == ["run-1-txt2img_1"]
    assert result.stage_results[0].receipt is not None
    assert result.stage_results[0].receipt.confirmed


class Slow(FakeBackend):
    """Takes 15 seconds from each sign of life to the next."""

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        for fraction in (0.2, 0.4, 0.6):
            pass_time(15)
            await checkpoint()
            await report(fraction)
        return await super().run_stage(request, report)


async def test_a_slow_stage_that_shows_progress_does_not_stall(bus: EventBus) -> None:
    bench = Bench(bus)
    bench.sequencer = StageSequencer(Slow(), bus, bench.store, stall_timeout=20)
    assert (await bench.run(request())).success


async def test_a_backends_own_timeout_is_an_outcome(bus: EventBus) -> None:
    bench = Bench(bus, Behaviour(error=StageTimeoutError("silent for 120 s")))
    assert (await bench.run(request())).outcome is Outcome.TIMED_OUT


async def cancelled_run(bench: Bench, run: RunRequest, *, after: str) -> None:
    """Run, and cancel as soon as an event of that name was heard."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                while after not in bench.listener.names():
                    await checkpoint()
                scope.cancel()

            tasks.start_soon(cancel)
            await bench.run(run)
    assert scope.cancelled_caught


@pytest.mark.parametrize("after", ["RunStarted", "StageStarted", "StageProgress", "PictureSaved"])
async def test_a_cancelled_run_is_told_to_its_end_and_the_cancellation_passes(
    bus: EventBus, after: str
) -> None:
    bench = Bench(bus, Behaviour(delay=0.01, hang=True))
    if after == "PictureSaved":
        bench = Bench(bus, lambda request, call: Behaviour(hang=call == 2))
    await cancelled_run(bench, request(images=2, upscale={}), after=after)
    (finished,) = bench.listener.of(RunFinished)
    assert finished.result.outcome is Outcome.CANCELLED
    assert len(bench.listener.of(StageStarted)) == len(bench.listener.of(StageFinished))
    assert bench.sequencer.last_result is finished.result
    assert bench.store.results == [finished.result]
    assert len(finished.result.outputs) == len(bench.store.pictures)


async def test_a_cancelled_call_leaves_a_receipt(bus: EventBus) -> None:
    bench = Bench(bus, Behaviour(hang=True))
    await cancelled_run(bench, request(), after="StageProgress")
    (stage,) = bench.listener.of(StageFinished)
    assert stage.result.receipt is not None
    assert stage.result.receipt.request_id == bench.backend.interrupts[0] == "run-1-txt2img_1"


async def test_a_cancel_before_anything_ran_asks_nobody_to_stop(bus: EventBus) -> None:
    bench = Bench(bus)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await bench.run(request())
    assert bench.backend.interrupts == [] or bench.backend.calls
    (finished,) = bench.listener.of(RunFinished)
    assert finished.result.outcome is Outcome.CANCELLED


class Late(FakeBackend):
    """Returns its picture although it was cancelled."""

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        self.calls.append(request)
        with anyio.CancelScope(shield=True):
            await report(1.0)
            await anyio.sleep(0.02)
        return [fake_picture(request)]


async def test_what_a_cancelled_stage_returned_late_is_thrown_away(bus: EventBus) -> None:
    bench = Bench(bus)
    bench.sequencer = StageSequencer(Late(), bus, bench.store)
    await cancelled_run(bench, request(), after="StageProgress")
    assert bench.store.pictures == {}
    assert bench.listener.of(PictureSaved) == []


class Deaf(FakeBackend):
    """Cannot be interrupted: hangs, or raises."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(Behaviour(hang=True))
        self.error = error

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        if self.error:
            raise self.error
        await anyio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("error", [None, ValueError("bug"), BackendRejectedError("no")])
async def test_an_interrupt_that_fails_does_not_hold_up_or_replace_the_cancellation(
    bus: EventBus, error: Exception | None
) -> None:
    bench = Bench(bus)
    bench.sequencer = StageSequencer(Deaf(error), bus, bench.store, grace=0.05)
    await cancelled_run(bench, request(), after="StageProgress")
    (stage,) = bench.listener.of(StageFinished)
    assert stage.result.receipt is not None
    assert not stage.result.receipt.confirmed


async def test_a_cancel_that_came_with_the_runs_deadline_is_told_as_a_timeout(
    bus: EventBus,
) -> None:
    bench = Bench(bus, Behaviour(hang=True))
    run = RunRequest(run_id="run-1", config=request().config, deadline=anyio.current_time())
    await cancelled_run(bench, run, after="StageStarted")
    (finished,) = bench.listener.of(RunFinished)
    assert finished.result.outcome is Outcome.TIMED_OUT
    assert finished.result.stage_results[0].outcome is Outcome.TIMED_OUT


async def test_times_come_from_the_clock(bus: EventBus) -> None:
    store = MemoryStore()
    listener = Listener(bus)
    sequencer = StageSequencer(FakeBackend(), bus, store, clock=ticking_clock())
    run = request()
    result = await sequencer.run(plan_stages(run.config, FAKE_CAPABILITIES), run)
    await bus.drain()
    times = [event.at for event in listener.events]
    assert times == sorted(times)
    assert times[0].year == 2026
    assert result.duration > 0
    assert result.stage_results[0].started_at < result.stage_results[0].finished_at


async def full_watcher(bus: EventBus, kind: type[Event]) -> anyio.Event:
    """Subscribe somebody who takes one event of a kind and then holds everybody up."""
    gate = anyio.Event()

    async def hold(event: Event) -> None:
        await gate.wait()

    bus.subscribe(kind, hold, overflow=Overflow.WAIT, mailbox=1, name="holds up")
    return gate


@pytest.mark.parametrize("kind", [RunStarted, StageStarted, PictureSaved])
async def test_a_cancel_while_a_start_waits_for_room_still_tells_the_end(kind: type[Event]) -> None:
    async with EventBus(grace=0.2) as bus:
        bench = Bench(bus)
        gate = await full_watcher(bus, kind)
        fillers = {
            RunStarted: RunStarted(run_id="filler", stages=(), images=1),
            StageStarted: StageStarted(run_id="filler", stage="x", images=1),
        }
        for _ in range(2 if kind in fillers else 0):  # one is being handled, one fills the mailbox
            await bus.publish(attrs.evolve(fillers[kind]))
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    while len(bench.listener.of(kind)) < 3:  # the third waits for room
                        await checkpoint()
                    scope.cancel()

                tasks.start_soon(cancel)
                bench.bus = bus
                plan = plan_stages(request(images=4).config, FAKE_CAPABILITIES)
                await bench.sequencer.run(plan, request(images=4))
        gate.set()
        await bus.drain()
        assert scope.cancelled_caught
        own = [event for event in bench.listener.events if event.run_id == "run-1"]
        assert sum(isinstance(event, RunFinished) for event in own) == 1
        (result,) = bench.store.results
        assert len(result.outputs) == len(bench.store.pictures)


async def test_a_slow_watcher_is_no_stalled_backend(bus: EventBus) -> None:
    bench = Bench(bus, Behaviour(progress=(0.2, 0.4, 0.6)), stall_timeout=10)

    async def slowly(event: StageProgress) -> None:
        pass_time(15)
        await checkpoint()

    bus.subscribe(StageProgress, slowly, overflow=Overflow.WAIT, mailbox=1)
    assert (await bench.run(request())).success


async def test_metadata_that_cannot_be_kept_for_any_reason_is_an_outcome(bus: EventBus) -> None:
    bench = Bench(bus)
    bench.store.conclude_error = TypeError("no plain form for object")
    result = await bench.run(request())
    assert result.outcome is Outcome.FAILED
    assert bench.listener.of(RunFinished)[0].result is result


class SlowToStop(FakeBackend):
    async def interrupt(self, request_id: str) -> InterruptReceipt:
        pass_time(4)
        await checkpoint()
        return InterruptReceipt(request_id=request_id, call="slow", confirmed=True, seconds=4)


async def test_a_users_cancel_before_the_deadline_is_no_timeout_however_long_stopping_takes(
    bus: EventBus,
) -> None:
    bench = Bench(bus)
    bench.sequencer = StageSequencer(SlowToStop(Behaviour(hang=True)), bus, bench.store)
    run = RunRequest(run_id="run-1", config=request().config, timeout=3).begun()
    await cancelled_run(bench, run, after="StageStarted")
    (finished,) = bench.listener.of(RunFinished)
    assert finished.result.outcome is Outcome.CANCELLED


async def test_a_later_stage_says_what_it_was_made_with_over_its_source(bus: EventBus) -> None:
    result = await Bench(bus).run(request(img2img={"cfg_scale": 3}))
    assert [output.settings["cfg_scale"] for output in result.outputs] == [7.0, 3]


class Forgetful(FakeBackend):
    """Does not know a word of the prompt; its later stages have nothing to say about that."""

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        (picture,) = await super().run_stage(request, report)
        words = ("flurb",) if request.stage == "txt2img" else ()
        return [attrs.evolve(picture, ignored_words=words)]


async def test_a_later_picture_keeps_the_words_that_its_source_ignored(bus: EventBus) -> None:
    bench = Bench(bus)
    bench.sequencer = StageSequencer(Forgetful(), bus, bench.store)
    result = await bench.run(request(upscale={}))
    assert [output.ignored_words for output in result.outputs] == [("flurb",), ("flurb",)]

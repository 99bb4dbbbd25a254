"""The next picture is announced while the last one is made or kept; unwanted, it is stopped."""

from __future__ import annotations

import anyio
import attrs

from stablenew.backends.base import Picture, ReportProgress, StageRequest
from stablenew.backends.fake import Behaviour
from stablenew.events.bus import EventBus
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import Outcome, PipelineRunResult, StageOutput
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.support import AheadBackend, MemoryStore, request

BOTH_LOOPS = True


class LoggingStore(MemoryStore):
    """Says what it keeps in the backend's log."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def save(
        self,
        run_id: str,
        stage: str,
        number: int,
        picture: Picture,
        fingerprint: str = "",
        seconds: float | None = None,
    ) -> StageOutput:
        self.log.append(f"kept {run_id}-{stage}_{number}")
        return await super().save(run_id, stage, number, picture, fingerprint, seconds)


async def run(
    backend: AheadBackend, asked: RunRequest, store: MemoryStore | None = None
) -> PipelineRunResult:
    async with EventBus(strict=True) as bus, backend:
        sequencer = StageSequencer(backend, bus, store or LoggingStore(backend.log))
        return await PipelineRunner(backend, sequencer).run(asked)


async def test_the_next_picture_of_a_stage_is_announced_before_the_last_is_kept() -> None:
    backend = AheadBackend()
    assert (await run(backend, request(images=3))).success
    assert backend.log == [
        *("asked run-1-txt2img_1", "announced run-1-txt2img_2", "kept run-1-txt2img_1"),
        *("asked run-1-txt2img_2", "announced run-1-txt2img_3", "kept run-1-txt2img_2"),
        *("asked run-1-txt2img_3", "kept run-1-txt2img_3"),
    ]


async def test_the_only_picture_of_a_stage_is_handed_on_before_it_is_kept() -> None:
    backend = AheadBackend()
    assert (await run(backend, request(upscale={}))).success
    assert backend.log == [
        *("asked run-1-txt2img_1", "announced run-1-upscale_1", "kept run-1-txt2img_1"),
        *("asked run-1-upscale_1", "kept run-1-upscale_1"),
    ]


async def test_of_several_pictures_the_next_stage_begins_while_the_last_is_made() -> None:
    backend = AheadBackend()
    assert (await run(backend, request(images=2, upscale={}))).success
    place = backend.log.index("announced run-1-upscale_1")
    assert backend.log[place - 1 : place + 2] == [
        *("asked run-1-txt2img_2", "announced run-1-upscale_1", "kept run-1-txt2img_2"),
    ]


async def test_a_run_of_the_same_picture_is_not_announced_for_it_will_be_there() -> None:
    backend = AheadBackend()
    same = attrs.evolve(request(), following=lambda: request("run-2"))
    assert (await run(backend, same)).success
    other = attrs.evolve(request("run-3"), following=lambda: request("run-4", txt2img={"seed": 5}))
    assert (await run(backend, other)).success
    assert [line for line in backend.log if "announced" in line] == ["announced run-4-txt2img_1"]


async def test_what_follows_a_picture_that_failed_is_stopped() -> None:
    backend = AheadBackend(lambda _, call: Behaviour(error=OSError("no") if call == 2 else None))
    result = await run(backend, request(images=3))
    assert result.outcome is Outcome.FAILED
    assert backend.begun == {}
    assert backend.log[-1] == "stopped run-1-txt2img_3"
    receipt = result.stage_results[-1].receipt
    assert receipt is not None
    assert receipt.request_id == "run-1-txt2img_3"


async def test_a_run_that_cannot_keep_a_picture_stops_the_next() -> None:
    backend = AheadBackend()
    store = MemoryStore(save_error=OSError(28, "No space left on device"))
    assert (await run(backend, request(images=2), store)).outcome is Outcome.FAILED
    assert backend.log[-1] == "stopped run-1-txt2img_2"


async def test_the_receipt_of_a_cancel_while_a_picture_is_kept_is_that_of_the_next() -> None:
    class Cancelling(MemoryStore):
        async def save(self, *_: object, **__: object) -> StageOutput:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
            raise AssertionError("unreachable")

    backend = AheadBackend()
    async with EventBus(strict=True) as bus, backend:
        runner = PipelineRunner(backend, StageSequencer(backend, bus, Cancelling()))
        with anyio.CancelScope() as scope:
            await runner.run(request(images=2))
    assert runner.last_result is not None
    assert runner.last_result.outcome is Outcome.CANCELLED
    receipt = runner.last_result.stage_results[0].receipt
    assert receipt is not None
    assert receipt.request_id == "run-1-txt2img_2"
    assert backend.begun == {}


async def test_a_picture_says_how_long_it_took_and_not_how_long_it_was_waited_for() -> None:
    class Timed(AheadBackend):
        async def run_stage(self, asked: StageRequest, report: ReportProgress) -> list[Picture]:
            (made,) = await super().run_stage(asked, report)
            return [attrs.evolve(made, seconds=12.5)]

    kept: list[float | None] = []

    class Store(MemoryStore):
        async def save(  # as the store has it
            self,
            run_id: str,
            stage: str,
            number: int,
            picture: Picture,
            fingerprint: str = "",
            seconds: float | None = None,
        ) -> StageOutput:
            kept.append(seconds)
            return await super().save(run_id, stage, number, picture, fingerprint, seconds)

    await run(Timed(), request(), Store())
    assert kept == [12.5]

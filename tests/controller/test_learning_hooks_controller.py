"""What the controller promises about records."""

from __future__ import annotations

import json
from pathlib import Path

import anyio

from stablenew.app import open_app
from stablenew.backends.fake import FakeBackend
from stablenew.config.settings import Settings
from stablenew.controller.engine import Engine
from stablenew.controller.pipeline_controller import PipelineController
from stablenew.errors import RecordError
from stablenew.events.bus import EventBus
from stablenew.learning.learning_record import LearningRecord
from stablenew.pipeline.image_store import ImageStore
from stablenew.pipeline.node_pool import Node, NodePool
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.support import config, lines


class SlowWriter:
    """Takes its time, fails, or never ends."""

    def __init__(self, *, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.records: list[LearningRecord] = []
        self.seconds = seconds
        self.error = error

    async def append_record(self, record: LearningRecord) -> None:
        await anyio.sleep(self.seconds)
        if self.error:
            raise self.error
        self.records.append(record)


def controller(bus: EventBus, runs: Path, writer: SlowWriter, grace: float) -> PipelineController:
    backend = FakeBackend()
    sequencer = StageSequencer(backend, bus, ImageStore(runs))
    runner = PipelineRunner(backend, sequencer)
    engine = Engine(
        NodePool([Node(name="fake", backend=backend, runner=runner)]),
        bus,
        Settings(out=runs, learning_enabled=True),
        make_writer=lambda path: writer,
        grace=grace,
    )
    return PipelineController(engine)


async def test_the_record_is_on_disk_when_the_run_returns(runs: Path) -> None:
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=FakeBackend()) as app:
        for count in range(1, 6):
            result = await app.pipeline.run_pipeline(config(), metadata={"tag": count})
            records = [json.loads(line) for line in lines(settings.records_path)]
            assert len(records) == count
            assert records[-1]["run_id"] == result.run_id
            assert records[-1]["metadata"] == {"run_type": "single", "tag": count}


async def test_the_controller_waits_for_a_slow_writer(runs: Path) -> None:
    writer = SlowWriter(seconds=0.05)
    async with EventBus(strict=True) as bus:
        await controller(bus, runs, writer, grace=5).run_pipeline(config())
        assert len(writer.records) == 1


async def test_it_waits_no_longer_than_the_grace(runs: Path) -> None:
    writer = SlowWriter(seconds=30)
    async with EventBus(grace=0.05) as bus:
        pipeline = controller(bus, runs, writer, grace=0.05)
        with anyio.fail_after(5):
            result = await pipeline.run_pipeline(config())
        assert pipeline.recorder is not None
        assert "not written within 0.05 s" in str(pipeline.recorder.problem)
    assert result.success
    assert writer.records == []


async def test_a_cancelled_caller_still_gets_the_records_of_what_was_done(runs: Path) -> None:
    writer = SlowWriter(seconds=0.05)
    async with EventBus(strict=True) as bus:
        with anyio.CancelScope() as scope:

            async def cancel(event: object) -> None:
                scope.cancel()

            from stablenew.pipeline.stage_events import RunFinished

            bus.subscribe(RunFinished, cancel)
            await controller(bus, runs, writer, grace=5).run_pipeline(config())
        assert len(writer.records) == 1


async def test_a_failing_writer_never_fails_a_run_and_is_shown(runs: Path) -> None:
    writer = SlowWriter(error=RecordError("no space", path=runs))
    async with EventBus(strict=True) as bus:
        pipeline = controller(bus, runs, writer, grace=5)
        result = await pipeline.run_pipeline(config())
    assert result.success
    assert pipeline.recorder is not None
    assert pipeline.recorder.failed == 1
    assert "no space" in str(pipeline.recorder.problem)

"""A runner with a recorder on its bus, and one without: the pipeline cannot tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.errors import BackendRejectedError
from stablenew.events.bus import EventBus
from stablenew.learning.learning_record_writer import LearningRecordWriter
from stablenew.learning.learning_recorder import LearningRecorder
from stablenew.pipeline.image_store import ImageStore
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import PipelineRunResult
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.support import lines, request


async def run(runs: Path, *, learn: bool, behaviour: Behaviour = Behaviour()) -> PipelineRunResult:
    backend = FakeBackend(behaviour)
    async with EventBus(strict=True) as bus:
        if learn:
            LearningRecorder(LearningRecordWriter(runs)).subscribe(bus)
        sequencer = StageSequencer(backend, bus, ImageStore(runs))
        return await PipelineRunner(backend, sequencer).run(request(f"run-{learn}"))


async def test_a_recorder_leaves_a_record_and_none_leaves_none(runs: Path) -> None:
    await run(runs, learn=False)
    assert not (runs / "learning_records.jsonl").exists()
    await run(runs, learn=True)
    (line,) = lines(runs / "learning_records.jsonl")
    assert '"run_id": "run-True"' in line


async def test_the_result_is_the_same_with_and_without(runs: Path) -> None:
    without, with_ = await run(runs, learn=False), await run(runs, learn=True)
    assert [output.sha256 for output in without.outputs] == [o.sha256 for o in with_.outputs]
    assert without.outcome == with_.outcome


@pytest.mark.parametrize("images", [0])
async def test_a_failed_run_is_not_recorded(runs: Path, images: int) -> None:
    await run(runs, learn=True, behaviour=Behaviour(images=images))
    await run(runs / "b", learn=True, behaviour=Behaviour(error=BackendRejectedError("no")))
    assert not (runs / "learning_records.jsonl").exists()
    assert not (runs / "b" / "learning_records.jsonl").exists()

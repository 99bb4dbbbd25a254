from __future__ import annotations

import logging

import attrs
import pytest

from stablenew.errors import RecordError
from stablenew.events.bus import EventBus
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_recorder import LearningRecorder
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.stage_events import RunFinished

BOTH_LOOPS = True


@attrs.define(eq=False)
class ListWriter:
    records: list[LearningRecord] = attrs.field(factory=list)
    error: Exception | None = None

    async def append_record(self, record: LearningRecord) -> None:
        if self.error:
            raise self.error
        self.records.append(record)


def finished(run_id: str, outcome: Outcome = Outcome.SUCCEEDED) -> RunFinished:
    result = PipelineRunResult(run_id=run_id, outcome=outcome)
    return RunFinished(run_id=run_id, result=result)


async def record(
    *events: RunFinished, error: Exception | None = None
) -> tuple[ListWriter, LearningRecorder]:
    writer = ListWriter(error=error)
    recorder = LearningRecorder(writer)
    async with EventBus(strict=True) as bus:
        recorder.subscribe(bus)
        for event in events:
            await bus.publish(event)
    return writer, recorder


async def test_a_run_that_succeeded_leaves_one_record() -> None:
    writer, recorder = await record(finished("a"), finished("b"))
    assert [each.run_id for each in writer.records] == ["a", "b"]
    assert (recorder.recorded, recorder.failed, recorder.problem) == (2, 0, None)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED, Outcome.TIMED_OUT])
async def test_a_run_that_did_not_succeed_leaves_none(outcome: Outcome) -> None:
    writer, _ = await record(finished("a", outcome))
    assert writer.records == []


async def test_there_is_at_most_one_record_a_run() -> None:
    writer, _ = await record(finished("a"), finished("a"))
    assert len(writer.records) == 1


@pytest.mark.parametrize("error", [RecordError("full", path=__file__), OSError(28, "full")])  # type: ignore[arg-type]
async def test_a_failing_writer_is_logged_and_counted_and_fails_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    _, recorder = await record(finished("a"), finished("b"), error=error)
    assert (recorder.recorded, recorder.failed) == (0, 2)
    assert recorder.problem is not None
    assert "full" in recorder.problem
    assert [each.levelno for each in caplog.records] == [logging.ERROR, logging.ERROR]
